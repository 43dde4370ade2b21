//go:build unix

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asAgent is set in the environment of this test binary when it is to be the program.
const asAgent = "TASKDIR_TEST_IS_AGENT"

func TestMain(m *testing.M) {
	if os.Getenv(asAgent) != "" {
		main()
	}
	os.Exit(m.Run())
}

// bench is a root as a daemon would have made it, and the program at work on it.
type bench struct {
	*testing.T
	root string
}

func newBench(t *testing.T) bench {
	b := bench{t, filepath.Join(t.TempDir(), "a root  \xff")} // whatever bytes a path has
	for _, place := range []string{"inbox", "ready/default", "claimed/me", "done", "failed", "rejected"} {
		b.must(os.MkdirAll(b.path(place), 0o777))
	}
	b.put("taskdir.json", "{}")
	return b
}

func (b bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b bench) path(name string) string { return filepath.Join(b.root, name) }

func (b bench) put(name, text string) string {
	b.Helper()
	b.must(os.MkdirAll(filepath.Dir(b.path(name)), 0o777))
	b.must(os.WriteFile(b.path(name), []byte(text), 0o666))
	return b.path(name)
}

func (b bench) offer(place string, number int) string {
	b.Helper()
	return b.put(fmt.Sprintf("%s/5-%012d.t%d.1.json", place, number, number),
		fmt.Sprintf("{\"id\": \"t%d\", \"input\": {}, \"lease_seconds\": 90}\n", number))
}

func (b bench) start(stdin string, args ...string) (*exec.Cmd, *bytes.Buffer, *bytes.Buffer) {
	b.Helper()
	cmd := exec.Command(os.Args[0], args...)
	var out, words bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(stdin), &out, &words
	cmd.Env = append(os.Environ(), asAgent+"=1", "TASKDIR="+b.root)
	b.must(cmd.Start())
	b.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd, &out, &words
}

// run wants an exit code and returns what went to stdout; whatever goes to stderr is marked, line by line.
func (b bench) run(code int, stdin string, args ...string) string {
	b.Helper()
	cmd, out, words := b.start(stdin, args...)
	_ = cmd.Wait()
	if got := cmd.ProcessState.ExitCode(); got != code {
		b.Errorf("%q: exit code %d, want %d; %s", args, got, code, words)
	}
	for _, line := range strings.SplitAfter(words.String(), "\n") {
		if line != "" && !strings.HasPrefix(line, "taskdir: ") {
			b.Errorf("%q says %q", args, line)
		}
	}
	return out.String()
}

// result returns the result of a claimed file, "" if there is none.
func (b bench) result(path string) string {
	data, _ := os.ReadFile(strings.TrimSuffix(path, ".json") + ".result.json")
	return strings.TrimSuffix(string(data), "\n")
}

func (b bench) until(what string, true_ func() bool) {
	b.Helper()
	for limit := time.Now().Add(20 * time.Second); !true_(); time.Sleep(time.Millisecond) {
		if time.Now().After(limit) {
			b.Fatalf("waited in vain for %s", what)
		}
	}
}

func (b bench) exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func (b bench) wantResult(path, want string) {
	b.Helper()
	if got := b.result(path); got != want {
		b.Errorf("the result is %q, want %q", got, want)
	}
}

func TestTheGestures(t *testing.T) {
	b := newBench(t)
	if out := b.run(0, "{}", "submit", "x"); out != "x\n" {
		t.Errorf("submit printed %q", out)
	}
	b.run(73, "{}", "submit", "x")
	b.run(65, "", "submit", "y")
	b.run(124, "", "wait", "x", "0")
	b.offer("ready/default", 1)
	path := b.path("claimed/me/5-000000000001.t1.1.json")
	if out := b.run(0, "", "claim", "me"); out != path+"\n" {
		t.Errorf("claim printed %q", out)
	}
	b.run(75, "", "claim", "me")
	b.run(0, "", "keep", path)
	b.run(0, "", "note", path, "half way")
	b.run(65, " \n", "finish", path, "-")
	b.run(66, "", "finish", path, b.path("absent"))
	for output, args := range map[string][]string{"null": {}, "[1.50]": {"-"}, "{}": {b.path("taskdir.json")}} {
		b.run(0, "[1.50]", append([]string{"finish", path}, args...)...)
		b.wantResult(path, `{"status":"ok","output":`+output+`}`)
	}
	b.run(0, "", "fail", path, "no-luck", "oh \xff", "--retry")
	b.wantResult(path, "{\"status\":\"error\",\"error\":{\"code\":\"no-luck\",\"message\":\"oh \\ufffd\"},\"retry\":true}")
	b.run(0, "", "give-back", path)
	for _, verb := range []string{"keep", "finish", "give-back"} {
		b.run(66, "", verb, path)
	}
	b.run(66, "", "fail", path, "m")
	b.run(66, "", "note", path, "m")
	b.run(66, "", "hold", path, "true")
	b.put("done/x.json", "{}")
	if out := b.run(0, "", "wait", "x"); out != b.path("done/x.json")+"\n" {
		t.Errorf("wait printed %q", out)
	}
	b.put("failed/f.json", "{}")
	b.run(1, "", "wait", "f")
}

func TestUsageErrorsAre2AndChangeNothing(t *testing.T) {
	b := newBench(t)
	path := b.offer("claimed/me", 1)
	for _, line := range []string{
		"submit a b", "submit -x", "submit ''", "claim", "claim me default x", "claim Me", "claim me ''", "claim you @me", "keep",
		"keep x", "finish", "finish PATH - x", "fail PATH", "fail PATH ''", "fail PATH --retry", "fail PATH '' --retry",
		"fail PATH Bad m", "fail PATH code ''", "fail PATH code m again", "fail PATH code m --retry x", "give-back",
		"give_back PATH", "note PATH", "wait x ''", "wait x -1", "wait x 1.5", "wait x 9999999999", "wait X", "hold PATH", "x",
		"work", "work me --", "work me --tasks", "work me --tasks 0", "work me --idle x", "work me --tusk 1", "work you @me", "''",
	} {
		args := strings.Fields(line)
		for n, word := range args {
			args[n] = strings.ReplaceAll(strings.ReplaceAll(word, "PATH", path), "''", "")
		}
		b.run(2, "", args...)
	}
	if b.result(path) != "" {
		t.Error("there is a result")
	}
	b.root = t.TempDir()
	for _, line := range []string{"submit x", "claim me", "wait x", "work me"} {
		b.run(66, "{}", strings.Fields(line)...)
	}
}

func TestHoldEndsAsItsCommandDoes(t *testing.T) {
	b := newBench(t)
	path := b.offer("claimed/me", 1)
	for code, script := range map[int]string{0: "exit 0", 7: "exit 7", 128 + 9: "kill -9 $$"} {
		b.run(code, "", "hold", path, "sh", "-c", script)
	}
	b.run(127, "", "hold", path, "/no/such/command")
	b.run(126, "", "hold", path, b.path("inbox"))
	cmd, _, _ := b.start("", "hold", path, "sh", "-c", `trap 'exit 5' TERM; : >"$1"; while :; do sleep 0.02; done`, "sh", b.path("on"))
	b.until("the command", func() bool { return b.exists(b.path("on")) })
	b.run(75, "", "hold", path, "touch", b.path("ran"))
	b.must(cmd.Process.Signal(syscall.SIGTERM)) // it is passed on
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 5 || b.exists(b.path("ran")) {
		t.Errorf("exit code %d", code)
	}
}

func TestWorkHandsInHowTheCommandEnded(t *testing.T) {
	b := newBench(t)
	for script, want := range map[string]string{
		"":           `{"status":"ok","output":null}`,
		"echo ' '":   `{"status":"ok","output":null}`,
		"printf [1]": `{"status":"ok","output":[1]}`,
		"cat":        "{\"status\":\"ok\",\"output\":{\"id\": \"t1\", \"input\": {}, \"lease_seconds\": 90}\n}",
		`printf '["%s", %s, %s]' "$TASKDIR_ID" "$TASKDIR_ATTEMPT" "$(cmp - "$TASKDIR_TASK" && echo 5)"`: `{"status":"ok","output":["t1", 1, 5]}`,
		"echo 1; exit 3":     `{"status":"error","error":{"code":"exit-3","message":"sh ended with exit code 3"},"retry":true}`,
		"kill -9 $$":         `{"status":"error","error":{"code":"signal-9","message":"sh was ended by signal 9"},"retry":true}`,
		"exit 75":            "",
		`rm "$TASKDIR_TASK"`: "",
		`echo '{"status":"ok","output":"its own"}' >"${TASKDIR_TASK%.json}.result.json"`: `{"status":"ok","output":"its own"}`,
	} {
		b.offer("ready/default", 1)
		b.run(0, "", "work", "me", "--tasks", "1", "--idle", "0", "--", "sh", "-c", script)
		path := b.path("claimed/me/5-000000000001.t1.1.json")
		b.wantResult(path, want)
		if (want == "") == b.exists(path) {
			t.Errorf("%s: the claim is there: %v", script, b.exists(path))
		}
		b.must(os.RemoveAll(filepath.Dir(path)))
	}
	b.offer("ready/default", 1) // what a command leaves behind holds up nothing
	b.run(0, "", "work", "me", "--tasks", "1", "--", "sh", "-c",
		`while [ -d "${1%/*}" ] && [ ! -e "$1" ]; do sleep 0.02; done 2>/dev/null & echo 1`, "sh", b.path("off"))
	b.put("off", "")
	b.wantResult(b.path("claimed/me/5-000000000001.t1.1.json"), "{\"status\":\"ok\",\"output\":1\n}")
	b.must(os.RemoveAll(b.path("claimed/me")))
	b.offer("ready/default", 1)
	b.run(0, "", "work", "me", "--tasks", "1", "--", "/no/such/command")
	if got := b.result(b.path("claimed/me/5-000000000001.t1.1.json")); !strings.Contains(got, `"code":"exit-127"`) {
		t.Errorf("the result is %s", got)
	}
}

func TestWorkWithoutACommandHandsTheTaskBack(t *testing.T) {
	b := newBench(t)
	left := b.offer("claimed/me", 7) // unfinished work comes first
	b.offer("ready/default", 1)
	b.run(0, "", "work", "me", "--idle", "0")
	for _, name := range []string{left, b.path("claimed/me/5-000000000001.t1.1.json")} {
		content, err := os.ReadFile(name)
		b.must(err)
		b.wantResult(name, `{"status":"ok","output":`+string(content)+`}`)
	}
}

func TestWorkFailsWhatWasRefused(t *testing.T) {
	b := newBench(t)
	left := b.offer("claimed/me", 1)
	b.put("claimed/me/5-000000000001.t1.1.refused.json", "{}")
	cmd, _, _ := b.start("", "work", "me", "--idle", "0", "--", "sh", "-c", "echo ran >"+b.path("ran"))
	b.must(cmd.Wait())
	b.wantResult(left, `{"status":"error","error":{"code":"refused","message":"the result was refused"},"retry":true}`)
	if b.exists(b.path("ran")) {
		t.Error("it was run again")
	}
}

func TestSIGTERMEndsWorkAfterTheTaskInHand(t *testing.T) {
	b := newBench(t)
	for _, sent := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		b.offer("ready/default", 1)
		b.offer("ready/default", 2)
		on, off := b.path("on"), b.path("off")
		cmd, _, words := b.start("", "work", "me", "--", "sh", "-c",
			`: >"$1"; until [ -e "$2" ]; do sleep 0.02; done; echo 5`, "sh", on, off)
		b.until("the command", func() bool { return b.exists(on) })
		b.must(cmd.Process.Signal(sent))
		b.put("off", "")
		if err := cmd.Wait(); err != nil {
			t.Errorf("%v: %v %s", sent, err, words)
		}
		b.wantResult(b.path("claimed/me/5-000000000001.t1.1.json"), "{\"status\":\"ok\",\"output\":5\n}")
		if !b.exists(b.path("ready/default/5-000000000002.t2.1.json")) {
			t.Error("it went on")
		}
		b.must(os.RemoveAll(b.path("claimed/me")))
		b.must(os.Remove(on))
		b.must(os.Remove(off))
	}
	cmd, _, words := b.start("", "work", "me", "nothing-there") // and at once where there is none
	b.until("the directory", func() bool { return b.exists(b.path("claimed/me")) })
	b.must(cmd.Process.Signal(syscall.SIGTERM))
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v %s", err, words)
	}
}

func TestACommandWhoseClaimVanishesIsTerminated(t *testing.T) {
	b := newBench(t)
	b.offer("ready/default", 1)
	cmd, _, _ := b.start("", "work", "me", "--tasks", "1", "--", "sh", "-c",
		`trap 'echo it >"$2"' TERM; : >"$1"; sleep 60; exit 0`, "sh", b.path("on"), b.path("told"))
	b.until("the command", func() bool { return b.exists(b.path("on")) })
	path := b.path("claimed/me/5-000000000001.t1.1.json")
	b.must(os.Remove(path))
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if !b.exists(b.path("told")) || b.result(path) != "" {
		t.Error("the command was not told, or a result was handed in")
	}
}
