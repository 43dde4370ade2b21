package taskdir

import (
	"go/ast"
	"go/build"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"testing"
)

// TestItCompilesElsewhere type-checks the library and the program as other systems would compile them.
func TestItCompilesElsewhere(t *testing.T) {
	here := build.Default
	defer func() { build.Default = here }()
	for _, system := range []string{"darwin", "windows"} {
		build.Default = here
		build.Default.GOOS, build.Default.CgoEnabled = system, false // build.Default is what the importer reads
		files := token.NewFileSet()
		library := &withLibrary{Importer: importer.ForCompiler(files, "source", nil)}
		library.found = check(t, files, ".", library)
		check(t, files, "cmd/taskdir-agent", library)
	}
}

// withLibrary imports this package as it was just checked, and the standard library.
type withLibrary struct {
	types.Importer
	found *types.Package
}

func (w *withLibrary) Import(path string) (*types.Package, error) {
	if path == "taskdir.example/taskdir" {
		return w.found, nil
	}
	return w.Importer.Import(path)
}

func check(t *testing.T, set *token.FileSet, dir string, from types.Importer) *types.Package {
	t.Helper()
	listed, err := build.ImportDir(dir, 0)
	must(t, err)
	var files []*ast.File
	for _, name := range listed.GoFiles {
		file, err := parser.ParseFile(set, filepath.Join(dir, name), nil, 0)
		must(t, err)
		files = append(files, file)
	}
	checked, err := (&types.Config{Importer: from}).Check(dir, set, files, nil)
	if err != nil {
		t.Errorf("%s: %v", build.Default.GOOS, err)
	}
	return checked
}
