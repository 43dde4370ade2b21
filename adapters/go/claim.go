package taskdir

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
	"unicode/utf8"
)

// Claim is a task that is yours until it is finished, given back or gone. It is no more than a path: nothing runs and
// nothing is open before Hold, and whoever has the path has the claim.
type Claim struct {
	// Path is the claimed file, absolute.
	Path string
	// ID is the task's id: the idempotency key for what you do outside.
	ID string
	// Attempt is the fencing token for what you do outside.
	Attempt int
}

// Offer is what a claimed file says (SPEC section 6.4).
type Offer struct {
	ID           string                     `json:"id"`
	Attempt      int                        `json:"attempt"`
	Type         string                     `json:"type"`
	Input        json.RawMessage            `json:"input"`
	LeaseSeconds float64                    `json:"lease_seconds"`
	Context      map[string]json.RawMessage `json:"context"`
	ContextFiles map[string]ContextFile     `json:"context_files"`
	ResultFile   string                     `json:"result_file"`
	OutputSchema json.RawMessage            `json:"output_schema"`
	LastError    *Failure                   `json:"last_error"`
}

// ContextFile is a record that was too large to go along: its path from the root, and its SHA-256 in hex.
type ContextFile struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
}

// Failure is an error result: why a task could not be done (SPEC section 6.5). As the error of a Handler it says more
// than any other.
type Failure struct {
	// Code is a word, or "".
	Code string `json:"code,omitempty"`
	// Message is for people, cut to 8,192 characters.
	Message string `json:"message"`
	// Retry says that another attempt may help.
	Retry bool `json:"-"`
}

func (f *Failure) Error() string {
	if f.Code == "" {
		return f.Message
	}
	return f.Code + ": " + f.Message
}

const maxMessage = 8192 // characters of a failure's message

// OpenClaim returns the claim of a file in claimed/AGENT/, such as one that another process claimed. Errors: ErrName
// if that is no name of one, ErrGone.
func OpenClaim(path string) (*Claim, error) {
	dir, name := filepath.Split(path)
	if id, _ := parseOffer(name); id == "" {
		return nil, fmt.Errorf("%q is not the file of a task: %w", path, ErrName)
	}
	if dir == "" {
		dir = "."
	}
	real, err := filepath.EvalSymlinks(dir)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if err != nil {
		return nil, fmt.Errorf("%w: %s", ErrGone, path)
	}
	if filepath.Base(filepath.Dir(real)) != "claimed" {
		return nil, fmt.Errorf("%q is not in claimed/AGENT/: %w", path, ErrName)
	}
	claim := newClaim(filepath.Join(real, name))
	if info, err := os.Lstat(claim.Path); err != nil || !info.Mode().IsRegular() {
		return nil, claim.gone()
	}
	return claim, nil
}

func newClaim(path string) *Claim {
	id, attempt := parseOffer(filepath.Base(path))
	return &Claim{Path: path, ID: id, Attempt: attempt}
}

// Offer reads the claimed file. Errors: ErrGone, and those of encoding/json.
func (c *Claim) Offer() (*Offer, error) {
	data, err := os.ReadFile(c.Path)
	if err != nil {
		return nil, c.told(err)
	}
	offer := new(Offer)
	return offer, json.Unmarshal(data, offer)
}

// Input reads the task's input into the value that a pointer points at, as json.Unmarshal does.
func (c *Claim) Input(into any) error {
	offer, err := c.Offer()
	if err != nil {
		return err
	}
	return json.Unmarshal(offer.Input, into)
}

// Gone says whether the claimed file is gone. Unless you handed in a result, the task is then no longer yours: stop.
func (c *Claim) Gone() bool { return !exists(c.Path) }

// HandedIn says whether a result lies beside the claimed file; the daemon has not judged it yet.
func (c *Claim) HandedIn() bool { return exists(c.stem() + ".result.json") }

// Refused says whether the daemon refused a result of this claim. RefusedPath tells why, and another may be handed in.
func (c *Claim) Refused() bool { return exists(c.RefusedPath()) }

// RefusedPath is where the daemon writes the reason for a refusal (SPEC section 6.7).
func (c *Claim) RefusedPath() string { return c.stem() + ".refused.json" }

// Keep renews the lease by a touch, which never makes the file again. Errors: ErrGone. Hold does it for you.
func (c *Claim) Keep() error {
	now := time.Now()
	return c.told(os.Chtimes(c.Path, now, now))
}

// Note adds a line for people and viewers, which renews the lease. Errors: ErrGone.
func (c *Claim) Note(text string) error {
	if c.Gone() {
		return c.gone()
	}
	line, err := encode(struct {
		Time string `json:"time"`
		Text string `json:"text"`
	}{time.Now().UTC().Format(time.RFC3339), text})
	if err != nil {
		return err
	}
	line = append(line, '\n')
	file, err := os.OpenFile(c.stem()+".notes.jsonl", os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o666)
	if err != nil {
		return c.told(err)
	}
	_, err = file.Write(line) // one write, so that lines of two writers do not mix
	if closed := file.Close(); err == nil {
		err = closed
	}
	return err
}

// Finish hands in the output, durably; it waits for no verdict. The output becomes JSON by encoding/json; a
// json.RawMessage goes as it is. Errors: ErrGone, ErrEmpty for a blank json.RawMessage.
func (c *Claim) Finish(output any) error {
	data, err := encode(output)
	if err == nil && isBlank(data) {
		err = fmt.Errorf("the output of %s: %w", c.ID, ErrEmpty)
	}
	if err != nil {
		return err
	}
	return c.handIn(append(append([]byte(`{"status":"ok","output":`), data...), '}'))
}

// Fail hands in an error, durably; it waits for no verdict. Errors: ErrGone, ErrName for a code that is no word.
func (c *Claim) Fail(failure Failure) error {
	if failure.Code != "" && !IsWord(failure.Code) {
		return fmt.Errorf("the code %q: %w", failure.Code, ErrName)
	}
	if utf8.RuneCountInString(failure.Message) > maxMessage {
		failure.Message = string([]rune(failure.Message)[:maxMessage])
	}
	if failure.Message == "" {
		failure.Message = "no message"
	}
	data, err := encode(struct {
		Status string  `json:"status"`
		Error  Failure `json:"error"`
		Retry  bool    `json:"retry,omitempty"`
	}{"error", failure, failure.Retry})
	if err != nil {
		return err
	}
	return c.handIn(data)
}

// GiveBack lets somebody else do it, at once: it deletes the claimed file. Errors: ErrGone.
func (c *Claim) GiveBack() error { return c.told(os.Remove(c.Path)) }

// handIn makes a JSON text the result of the claim (SPEC section 7.8): written aside, synced, renamed.
func (c *Claim) handIn(result []byte) error {
	if c.Gone() {
		return c.gone()
	}
	mine, stem := filepath.Split(c.stem())
	aside, err := writeAside(mine, stem+".result", append(result, '\n'))
	if err != nil {
		return c.told(err)
	}
	if err := os.Rename(aside, c.stem()+".result.json"); err != nil {
		os.Remove(aside)
		return err
	}
	syncDir(mine)
	return nil
}

func (c *Claim) stem() string { return strings.TrimSuffix(c.Path, ".json") }

func (c *Claim) gone() error { return fmt.Errorf("%w: %s", ErrGone, c.Path) }

// told turns "no such file" into ErrGone.
func (c *Claim) told(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return c.gone()
	}
	return err
}
