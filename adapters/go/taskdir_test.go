package taskdir

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
	"sync"
	"testing"
	"time"
)

var badWords = []string{"", "-x", "_x", "Ab", "a.b", "a b", "a/b", "..", "é", strings.Repeat("x", 65), "a\n", "a\xff", "*", "@a"}

// newRoot makes what `taskdir init` and a daemon would have made, with a space in its path.
func newRoot(t *testing.T) *Root {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "a root")
	for _, place := range []string{"inbox", "ready/default", "claimed/me", "done", "failed", "rejected"} {
		must(t, os.MkdirAll(filepath.Join(dir, place), 0o777))
	}
	put(t, filepath.Join(dir, "taskdir.json"), `{"protocol": 1}`)
	root, err := Open(dir)
	must(t, err)
	return root
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	must(t, os.WriteFile(path, []byte(text), 0o666))
}

// offer puts an offer there, as the daemon would; for a claimed one, as a claim would. Its lease is one of 90 seconds.
func offer(t *testing.T, root *Root, place string, number int) string {
	t.Helper()
	path := filepath.Join(root.dir, place, fmt.Sprintf("5-%012d.t%d.1.json", number, number))
	must(t, os.MkdirAll(filepath.Dir(path), 0o777))
	put(t, path, fmt.Sprintf(`{"id": "t%d", "attempt": 1, "type": "echo", "input": {"n": %d}, "lease_seconds": 90}`, number, number))
	return path
}

// claimed puts a claimed task there and opens it.
func claimed(t *testing.T, root *Root, number int) *Claim {
	t.Helper()
	claim, err := OpenClaim(offer(t, root, "claimed/me", number))
	must(t, err)
	return claim
}

func tree(t *testing.T, root *Root) []string {
	t.Helper()
	var names []string
	must(t, filepath.WalkDir(root.dir, func(path string, entry os.DirEntry, err error) error {
		name, _ := filepath.Rel(root.dir, path)
		if err == nil && !entry.IsDir() && name != "taskdir.json" {
			names = append(names, filepath.ToSlash(name))
		}
		return err
	}))
	sort.Strings(names)
	return names
}

func wantTree(t *testing.T, root *Root, want ...string) {
	t.Helper()
	sort.Strings(want)
	if got := tree(t, root); strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("the tree is %q, want %q", got, want)
	}
}

func wantIs(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

// result reads what was handed in for a claim.
func result(t *testing.T, path string) map[string]any {
	t.Helper()
	data, err := os.ReadFile(strings.TrimSuffix(path, ".json") + ".result.json")
	must(t, err)
	var found map[string]any
	must(t, json.Unmarshal(data, &found))
	return found
}

func wantResult(t *testing.T, path, want string) {
	t.Helper()
	var wanted map[string]any
	must(t, json.Unmarshal([]byte(want), &wanted))
	if got := result(t, path); !reflect.DeepEqual(got, wanted) {
		t.Errorf("the result is %v, want %v", got, wanted)
	}
}

func TestBadNamesAreRefusedEverywhere(t *testing.T) {
	root := newRoot(t)
	claim := claimed(t, root, 1)
	before := tree(t, root)
	for _, word := range badWords {
		if word != "" {
			_, err := root.Submit(word, json.RawMessage("{}"))
			wantIs(t, err, ErrName)
			_, err = root.Claim("me", word)
			wantIs(t, err, ErrName)
			wantIs(t, claim.Fail(Failure{Code: word, Message: "m"}), ErrName)
		}
		_, err := root.Claim(word, "default")
		wantIs(t, err, ErrName)
		_, err = root.Unfinished(word)
		wantIs(t, err, ErrName)
		_, err = root.Wait(context.Background(), word)
		wantIs(t, err, ErrName)
	}
	for _, path := range []string{"", "x", "5-1.t.1.json", claim.stem() + ".result.json", offer(t, root, "ready/default", 2)} {
		_, err := OpenClaim(path)
		wantIs(t, err, ErrName)
	}
	wantTree(t, root, append(before, "ready/default/5-000000000002.t2.1.json")...)
}

func TestNamesOfOffers(t *testing.T) {
	for name, want := range map[string]string{
		"5-000000000001.t.1.json":                               "t",
		"0-999999999999.a_b-c.999999999.json":                   "a_b-c",
		"5-000000000001.t.01.json":                              "",
		"5-000000000001.t.0.json":                               "",
		"5-000000000001.t.1234567890.json":                      "",
		"5-00000000001.t.1.json":                                "",
		"5-000000000001.T.1.json":                               "",
		".5-000000000001.t.1.json":                              "",
		"5-000000000001.t.1.result.json":                        "",
		"5-000000000001.t.1.json\n":                             "",
		"5-000000000001." + strings.Repeat("x", 65) + ".1.json": "",
	} {
		if id, _ := parseOffer(name); id != want {
			t.Errorf("%q: id %q, want %q", name, id, want)
		}
	}
}

func TestTheRootIsFound(t *testing.T) {
	root := newRoot(t)
	home, err := os.Getwd()
	must(t, err)
	defer func() { must(t, os.Chdir(home)) }()
	t.Setenv("TASKDIR", "")
	must(t, os.Chdir(filepath.Join(root.dir, "claimed/me")))
	for _, dir := range []string{"", root.dir, "../.."} {
		must(t, os.Setenv("TASKDIR", dir))
		found, err := Find()
		must(t, err)
		if found.Dir() != root.dir {
			t.Errorf("found %s, want %s", found.Dir(), root.dir)
		}
	}
	must(t, os.Setenv("TASKDIR", "."))
	_, err = Find()
	wantIs(t, err, ErrNoRoot)
	must(t, os.Setenv("TASKDIR", ""))
	must(t, os.Chdir(filepath.Dir(root.dir)))
	_, err = Find()
	wantIs(t, err, ErrNoRoot)
}

func TestSubmitNeverReplaces(t *testing.T) {
	root := newRoot(t)
	put(t, filepath.Join(root.dir, "inbox/file.json"), "first")
	must(t, os.Mkdir(filepath.Join(root.dir, "inbox/dir.json"), 0o777))
	must(t, os.Symlink("nowhere", filepath.Join(root.dir, "inbox/link.json")))
	for _, id := range []string{"file", "dir", "link"} {
		_, err := root.Submit(id, json.RawMessage("{}"))
		wantIs(t, err, ErrTaken)
	}
	_, err := root.Submit("blank", json.RawMessage(""))
	wantIs(t, err, ErrEmpty)
	wantTree(t, root, "inbox/file.json", "inbox/link.json")
	raw := []byte(" {\"type\": \"echo\"}\n")
	id, err := root.Submit("", json.RawMessage(raw))
	must(t, err)
	got, err := os.ReadFile(filepath.Join(root.dir, "inbox", id+".json"))
	must(t, err)
	if string(got) != string(raw) {
		t.Errorf("the message became %q", got)
	}
}

func TestOfManySubmittersOfOneNameOneWins(t *testing.T) {
	root := newRoot(t)
	var group sync.WaitGroup
	won := make(chan string, 100)
	for n := 0; n < 8; n++ {
		n := n
		group.Add(1)
		go func() {
			defer group.Done()
			for _, id := range []string{"a", "b", "c"} {
				if _, err := root.Submit(id, n); err == nil {
					won <- id
				} else {
					wantIs(t, err, ErrTaken)
				}
			}
		}()
	}
	group.Wait()
	if len(won) != 3 {
		t.Errorf("%d won, want 3", len(won))
	}
	wantTree(t, root, "inbox/a.json", "inbox/b.json", "inbox/c.json")
}

func TestClaimTakesTheFirstNameInByteOrder(t *testing.T) {
	root := newRoot(t)
	ready := filepath.Join(root.dir, "ready/default")
	for _, stranger := range []string{"README", ".5-000000000001.t.1.json", "5-1.t.1.json", "0-000000000001.t.01.json", "\xff"} {
		put(t, filepath.Join(ready, stranger), "{}")
	}
	must(t, os.Mkdir(filepath.Join(ready, "0-000000000001.dir.1.json"), 0o777))
	must(t, os.Symlink("README", filepath.Join(ready, "0-000000000001.link.1.json")))
	strangers := tree(t, root)
	offer(t, root, "ready/default", 11)
	offer(t, root, "ready/default", 2)
	put(t, filepath.Join(ready, "0-000000000099.now.7.json"), "{}")
	for _, want := range []string{"now", "t2", "t11"} {
		claim, err := root.Claim("a-"+want, "")
		must(t, err)
		if claim.ID != want || filepath.Dir(claim.Path) != filepath.Join(root.dir, "claimed/a-"+want) {
			t.Errorf("claimed %+v, want %s", claim, want)
		}
		must(t, claim.GiveBack())
	}
	_, err := root.Claim("me", "default")
	wantIs(t, err, ErrNothing)
	_, err = root.Claim("me", "absent")
	wantIs(t, err, ErrNothing)
	wantTree(t, root, strangers...)
}

func TestTheQueueOfAnAgentIsForThatAgentAlone(t *testing.T) {
	root := newRoot(t)
	offer(t, root, "ready/@me", 1)
	_, err := root.Claim("you", "@me")
	wantIs(t, err, ErrName)
	_, err = root.Claim("me", "@me")
	must(t, err)
}

func TestUnfinishedWorkComesFirst(t *testing.T) {
	root := newRoot(t)
	claim := claimed(t, root, 1)
	offer(t, root, "ready/default", 2)
	_, err := root.Claim("me", "default")
	wantIs(t, err, ErrUnfinished)
	if !strings.Contains(err.Error(), claim.Path) {
		t.Errorf("it does not say which: %v", err)
	}
	must(t, claim.Finish(nil)) // now it waits for its verdict only
	next, err := root.Claim("me", "default")
	must(t, err)
	if next.ID != "t2" {
		t.Errorf("claimed %s", next.ID)
	}
}

func TestABenchedAgentClaimsNothing(t *testing.T) {
	root := newRoot(t)
	offer(t, root, "ready/default", 1)
	before := tree(t, root)
	mine := filepath.Join(root.dir, "claimed/me")
	must(t, os.Chmod(mine, 0o555))
	_, err := root.Claim("me", "default")
	wantIs(t, err, ErrBenched)
	wantTree(t, root, before...)
	must(t, os.Chmod(mine, 0o755))
}

func TestTenAgentsClaimEachOfferOnce(t *testing.T) {
	root := newRoot(t)
	for n := 1; n <= 100; n++ {
		offer(t, root, "ready/default", n)
	}
	won := make(chan string, 200)
	var group sync.WaitGroup
	for n := 0; n < 10; n++ {
		agent := fmt.Sprintf("agent%d", n)
		group.Add(1)
		go func() {
			defer group.Done()
			for {
				claim, err := root.Claim(agent, "default")
				if err != nil {
					wantIs(t, err, ErrNothing)
					return
				}
				won <- claim.ID
				if err := claim.GiveBack(); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	group.Wait()
	close(won)
	seen := map[string]bool{}
	for id := range won {
		if seen[id] {
			t.Errorf("%s was claimed twice", id)
		}
		seen[id] = true
	}
	if len(seen) != 100 {
		t.Errorf("%d were claimed, want 100", len(seen))
	}
}

func TestAGoneClaimIsLeftAlone(t *testing.T) {
	root := newRoot(t)
	claim := claimed(t, root, 1)
	must(t, os.Remove(claim.Path))
	_, err := OpenClaim(claim.Path)
	wantIs(t, err, ErrGone)
	_, err = OpenClaim(filepath.Join(root.dir, "claimed/nobody", filepath.Base(claim.Path)))
	wantIs(t, err, ErrGone)
	_, err = claim.Offer()
	wantIs(t, err, ErrGone)
	_, _, err = claim.Hold(context.Background())
	wantIs(t, err, ErrGone)
	for _, err := range []error{
		claim.Keep(), claim.Note("x"), claim.Finish(1), claim.Fail(Failure{Message: "x"}), claim.GiveBack(), claim.Input(new(any)),
	} {
		wantIs(t, err, ErrGone)
	}
	wantTree(t, root)
}

func TestWhatFinishWrites(t *testing.T) {
	root := newRoot(t)
	claim := claimed(t, root, 1)
	for _, test := range []struct {
		output any
		bytes  string
	}{
		{nil, `{"status":"ok","output":null}`},
		{map[string]any{"n": 1}, `{"status":"ok","output":{"n":1}}`},
		{"<é&\u2028>", `{"status":"ok","output":"<é&\u2028>"}`},
		{json.RawMessage("{\"n\": 1.50}\n"), "{\"status\":\"ok\",\"output\":{\"n\": 1.50}\n}"},
		{json.RawMessage("no JSON\xff"), "{\"status\":\"ok\",\"output\":no JSON\xff}"},
	} {
		must(t, claim.Finish(test.output))
		got, err := os.ReadFile(claim.stem() + ".result.json")
		must(t, err)
		if string(got) != test.bytes+"\n" && string(got) != strings.ReplaceAll(test.bytes, "\u2028", `\u2028`)+"\n" {
			t.Errorf("%q", got)
		}
	}
	must(t, os.Remove(claim.stem()+".result.json"))
	wantIs(t, claim.Finish(json.RawMessage(" \n")), ErrEmpty)
	if err := claim.Finish(make(chan int)); err == nil {
		t.Error("a channel became JSON")
	}
	wantTree(t, root, "claimed/me/5-000000000001.t1.1.json")
}

func TestWhatFailWrites(t *testing.T) {
	root := newRoot(t)
	claim := claimed(t, root, 1)
	for _, test := range []struct {
		failure Failure
		want    string
	}{
		{Failure{Message: "no luck"}, `{"status":"error","error":{"message":"no luck"}}`},
		{Failure{Code: "bad-luck", Message: "x", Retry: true}, `{"status":"error","error":{"code":"bad-luck","message":"x"},"retry":true}`},
		{Failure{}, `{"status":"error","error":{"message":"no message"}}`},
		{Failure{Message: strings.Repeat("ü", 9000)}, `{"status":"error","error":{"message":"` + strings.Repeat("ü", 8192) + `"}}`},
		{Failure{Message: "\x01\"\\\n\t<\xff\xe2\x82 é€😀\xed\xa0\x80\x00"},
			`{"status":"error","error":{"message":"\u0001\"\\\n\t<` + "\ufffd\ufffd\ufffd é€😀\ufffd\ufffd\ufffd" + `\u0000"}}`},
	} {
		must(t, claim.Fail(test.failure))
		wantResult(t, claim.Path, test.want)
	}
}

func TestNotesAreAppendedAndRenew(t *testing.T) {
	root := newRoot(t)
	claim := claimed(t, root, 1)
	must(t, claim.Note("half \"way\"\n"))
	must(t, claim.Note("\xff"))
	data, err := os.ReadFile(claim.stem() + ".notes.jsonl")
	must(t, err)
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	for n, want := range []string{"half \"way\"\n", "\ufffd"} {
		var note struct{ Time, Text string }
		must(t, json.Unmarshal([]byte(lines[n]), &note))
		if _, err := time.Parse("2006-01-02T15:04:05Z", note.Time); err != nil || note.Text != want {
			t.Errorf("the note is %q", lines[n])
		}
	}
	must(t, os.Chtimes(claim.Path, time.Unix(1, 0), time.Unix(1, 0)))
	must(t, claim.Keep())
	if info, err := os.Stat(claim.Path); err != nil || info.ModTime().Unix() == 1 {
		t.Error("keep touched nothing")
	}
}

func TestWaitSeesHowAMessageEnded(t *testing.T) {
	for _, test := range []struct{ files, place string }{
		{"done/x.json", "done"},
		{"failed/x.json", "failed"},
		{"rejected/x.json rejected/x.reason.json", "rejected"},
		{"rejected/x.json", ""},
		{"inbox/x.json rejected/x.reason.json", ""}, // the repair is not judged yet
		{"", ""},
	} {
		root := newRoot(t)
		for _, name := range strings.Fields(test.files) {
			put(t, filepath.Join(root.dir, name), "{}")
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		outcome, err := root.Wait(ctx, "x")
		if outcome.Place != test.place {
			t.Errorf("%s: %+v", test.files, outcome)
		}
		if test.place == "" {
			wantIs(t, err, context.Canceled)
		}
	}
	root := newRoot(t)
	time.AfterFunc(time.Millisecond, func() { put(t, filepath.Join(root.dir, "done/x.json"), "{}") })
	outcome, err := root.Wait(context.Background(), "x")
	must(t, err)
	if outcome.Path != filepath.Join(root.dir, "done/x.json") {
		t.Errorf("%+v", outcome)
	}
}

func TestWhatAnOfferSays(t *testing.T) {
	root := newRoot(t)
	claim := claimed(t, root, 1)
	put(t, claim.Path, `{"id": "t1", "attempt": 1, "type": "echo", "input": {"n": 7}, "lease_seconds": 600,
		"context": {"a": {"files": 3}}, "context_files": {"b": {"path": "done/b.json", "sha256": "4e"}},
		"last_error": {"code": "no-space", "message": "disk full"}, "x-new": 1}`)
	said, err := claim.Offer()
	must(t, err)
	if said.LeaseSeconds != 600 || string(said.Context["a"]) != `{"files": 3}` || said.ContextFiles["b"].Path != "done/b.json" ||
		said.LastError.Error() != "no-space: disk full" {
		t.Errorf("%+v", said)
	}
	var input struct{ N int }
	must(t, claim.Input(&input))
	if input.N != 7 {
		t.Errorf("the input is %+v", input)
	}
}
