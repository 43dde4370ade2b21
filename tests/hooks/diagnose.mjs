// What VS Code would say of JSON files: its own JSON service, set up from .vscode/settings.json as the editor does it.
// Input (stdin): {"root": DIR, "files": [{"path": "inbox/a.json", "text": "{}"}, …]}; output: diagnostics for each file.
// Nothing is loaded: a request for a schema fails, as it would without a network.
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const require = createRequire(process.env.NODE_HOME + "/");
const service = require("vscode-json-languageservice");
const jsonc = require("jsonc-parser");

const { root, files } = JSON.parse(readFileSync(0, "utf8"));
const folderUri = pathToFileURL(root).toString();
const faults = [];
const settings = jsonc.parse(readFileSync(root + "/.vscode/settings.json", "utf8"), faults, { allowTrailingComma: true });
if (faults.length) throw new Error("settings.json: " + JSON.stringify(faults));

const judge = service.getLanguageService({
  schemaRequestService: (uri) => Promise.reject("not loaded: " + uri),
  workspaceContext: { resolveRelativePath: (path, base) => new URL(path, base).toString() },
});
const schemas = settings["json.schemas"].map(({ url, fileMatch, schema }) => ({ uri: url, fileMatch, schema, folderUri }));
judge.configure({ validate: true, allowComments: false, schemas });

const answers = [];
for (const { path, text } of files) {
  const document = service.TextDocument.create(folderUri + "/" + path, "json", 1, text);
  const found = await judge.doValidation(document, judge.parseJSONDocument(document), { schemaRequest: "warning" });
  answers.push(found.map(({ range, message }) => ({ line: range.start.line + 1, column: range.start.character + 1, message })));
}
console.log(JSON.stringify(answers));
