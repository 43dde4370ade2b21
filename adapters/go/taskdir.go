// Package taskdir lets a Go program take part in a taskdir, a directory that is a task queue: submit messages, claim
// tasks, keep, finish, fail and give them back, write notes, wait. It writes and renames files, holds no state, needs
// no daemon to run, and decides nothing: whatever it writes, the daemon judges. The rules are those of SPEC.md.
//
// A claim is kept by a lock on its file where the system has flock, so that the daemon learns at once when the process
// dies; elsewhere by renewing the lease. Most programs need no more than a Worker.
package taskdir

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// What can be the matter; ask with errors.Is. Any other error is the file system's.
var (
	ErrNoRoot     = errors.New("no taskdir.json: set TASKDIR, or run `taskdir init`")
	ErrName       = errors.New("not a name that can be used here")                    // SPEC section 5
	ErrEmpty      = errors.New("empty, nothing was written")                          // a message, or a blank output
	ErrTaken      = errors.New("a message of this id lies in inbox/ already")         // take an id of your own
	ErrNothing    = errors.New("nothing to claim")                                    // try again later
	ErrUnfinished = errors.New("unfinished work, resume it or give it back")          // see Root.Unfinished
	ErrBenched    = errors.New("benched for a while: the directory is not writable")  // SPEC section 7.18
	ErrGone       = errors.New("the claimed file is gone: no longer your task, stop") // SPEC section 7.5
	ErrHeld       = errors.New("another process holds the claim")                     // SPEC section 7.6
)

// poll is how long all that waits for a file sleeps between two looks.
const poll = 100 * time.Millisecond

var (
	wordForm  = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,63}$`)
	offerForm = regexp.MustCompile(`^[0-9]-[0-9]{12}\.([a-z0-9][a-z0-9_-]{0,63})\.([1-9][0-9]{0,8})\.json$`)
)

// IsWord says whether a text can be an id, an agent, a type or an error code.
func IsWord(text string) bool { return wordForm.MatchString(text) }

// Root is a directory that holds a taskdir.json. It has no state and may be used by many goroutines.
type Root struct {
	dir string
}

// Open returns the root at dir, or ErrNoRoot.
func Open(dir string) (*Root, error) {
	real, err := filepath.EvalSymlinks(dir)
	if err == nil {
		real, err = filepath.Abs(real)
	}
	if info, failed := os.Stat(filepath.Join(real, "taskdir.json")); err != nil || failed != nil || info.IsDir() {
		return nil, fmt.Errorf("%s: %w", dir, ErrNoRoot)
	}
	return &Root{real}, nil
}

// Find returns the root at $TASKDIR, or else the nearest one at or above the working directory, or ErrNoRoot.
func Find() (*Root, error) {
	if dir := os.Getenv("TASKDIR"); dir != "" {
		return Open(dir)
	}
	here, err := os.Getwd()
	if err == nil {
		here, err = filepath.EvalSymlinks(here)
	}
	if err != nil {
		return nil, fmt.Errorf("%w (%v)", ErrNoRoot, err)
	}
	for dir := here; ; dir = filepath.Dir(dir) {
		if root, err := Open(dir); err == nil || dir == filepath.Dir(dir) {
			return root, err
		}
	}
}

// Dir returns the root's absolute path.
func (r *Root) Dir() string { return r.dir }

// Submit puts a message into inbox/, durably and never in place of another, and returns its id; id "" mints one. The
// message becomes JSON by encoding/json; a json.RawMessage goes as it is. Errors: ErrName, ErrEmpty, ErrTaken.
func (r *Root) Submit(id string, message any) (string, error) {
	if id == "" {
		id = time.Now().UTC().Format("20060102t150405-") + random()
	}
	if !IsWord(id) {
		return "", fmt.Errorf("%q: %w", id, ErrName)
	}
	data, err := encode(message)
	if err == nil && len(data) == 0 {
		err = fmt.Errorf("the message %s: %w", id, ErrEmpty)
	}
	if err != nil {
		return "", err
	}
	inbox := filepath.Join(r.dir, "inbox")
	aside, err := writeAside(inbox, id, data)
	if err != nil {
		return "", err
	}
	defer os.Remove(aside)
	err = linkNew(aside, filepath.Join(inbox, id+".json"))
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%s: %w", id, ErrTaken)
	}
	if err != nil {
		return "", err
	}
	syncDir(inbox)
	return id, nil
}

// Claim takes the first task of a queue that it can get, by renaming it into claimed/AGENT/, which it makes if need be;
// queue "" is "default". Errors: ErrName, ErrUnfinished, ErrBenched, ErrNothing.
func (r *Root) Claim(agent, queue string) (*Claim, error) {
	if queue == "" {
		queue = "default"
	}
	own := strings.TrimPrefix(queue, "@")
	if !IsWord(agent) || !IsWord(own) || own != queue && own != agent {
		return nil, fmt.Errorf("the agent %q and the queue %q: %w", agent, queue, ErrName)
	}
	mine, ready := filepath.Join(r.dir, "claimed", agent), filepath.Join(r.dir, "ready", queue)
	if err := os.Mkdir(mine, 0o777); err != nil && !errors.Is(err, fs.ErrExist) { // a root that is gone stays gone
		return nil, err
	}
	held, err := r.Unfinished(agent)
	if err != nil {
		return nil, err
	}
	if len(held) > 0 {
		return nil, fmt.Errorf("%w: %s", ErrUnfinished, paths(held))
	}
	for {
		if isBenched(mine) { // root could write there all the same, hence a look at the mode
			return nil, fmt.Errorf("%w: %s", ErrBenched, mine)
		}
		claim, slower, err := takeFirst(ready, mine)
		if claim != nil || err != nil && !isBenched(mine) {
			return claim, err
		}
		if err == nil && !slower {
			return nil, fmt.Errorf("%w in ready/%s", ErrNothing, queue)
		}
	}
}

// takeFirst tries to rename the offers in ready to mine, in byte order. It returns the first that it got, or whether
// somebody was faster, so that a new look may find what was offered since, or what kept it from moving one.
func takeFirst(ready, mine string) (claim *Claim, slower bool, err error) {
	names, err := offersIn(ready)
	if err != nil {
		return nil, false, err
	}
	for _, name := range names {
		target := filepath.Join(mine, name)
		failed := os.Rename(filepath.Join(ready, name), target)
		switch {
		case failed == nil:
			return newClaim(target), false, nil
		case exists(filepath.Join(ready, name)):
			err = failed
		default:
			slower = true
		}
	}
	return nil, slower, err
}

// Unfinished returns what the agent has claimed and handed in no result for, in byte order of the names.
func (r *Root) Unfinished(agent string) ([]*Claim, error) {
	if !IsWord(agent) {
		return nil, fmt.Errorf("%q: %w", agent, ErrName)
	}
	mine := filepath.Join(r.dir, "claimed", agent)
	names, err := offersIn(mine)
	var claims []*Claim
	for _, name := range names {
		if claim := newClaim(filepath.Join(mine, name)); !claim.HandedIn() {
			claims = append(claims, claim)
		}
	}
	return claims, err
}

// Outcome is how a message ended: where it lies now, "done", "failed" (canceled tasks too) or "rejected", and the path
// of its record, or of the reason why it was refused.
type Outcome struct {
	Place, Path string
}

// Wait looks until a message has ended. Errors: ErrName, and the context's once that is done.
func (r *Root) Wait(ctx context.Context, id string) (Outcome, error) {
	if !IsWord(id) {
		return Outcome{}, fmt.Errorf("%q: %w", id, ErrName)
	}
	for {
		for _, place := range []string{"done", "failed"} {
			if path := filepath.Join(r.dir, place, id+".json"); exists(path) {
				return Outcome{place, path}, nil
			}
		}
		// A reason is void while a message of that name waits in inbox/: it may be the repair. So look there first.
		if !exists(filepath.Join(r.dir, "inbox", id+".json")) {
			if path := filepath.Join(r.dir, "rejected", id+".reason.json"); exists(path) {
				return Outcome{"rejected", path}, nil
			}
		}
		if err := sleep(ctx, poll); err != nil {
			return Outcome{}, fmt.Errorf("%s has not ended: %w", id, err)
		}
	}
}

// parseOffer splits the name of an offer into id and attempt; id "" if it is none.
func parseOffer(name string) (id string, attempt int) {
	parts := offerForm.FindStringSubmatch(name)
	if parts == nil {
		return "", 0
	}
	attempt, _ = strconv.Atoi(parts[2]) // at most nine digits
	return parts[1], attempt
}

// offersIn returns the names of the offers in a directory in byte order. All else there is let be, links included.
func offersIn(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, entry := range entries { // sorted by ReadDir
		if id, _ := parseOffer(entry.Name()); id != "" && entry.Type().IsRegular() {
			names = append(names, entry.Name())
		}
	}
	return names, err
}

func paths(claims []*Claim) string {
	names := make([]string, len(claims))
	for i, claim := range claims {
		names[i] = claim.Path
	}
	return strings.Join(names, " ")
}

func isBenched(dir string) bool {
	info, err := os.Stat(dir)
	return err == nil && info.Mode().Perm()&0o222 == 0
}

// exists says whether there is something of that name. After an error that does not deny it, nothing is concluded.
func exists(path string) bool {
	_, err := os.Lstat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

// encode makes a value JSON, without the escapes that are for HTML. A json.RawMessage stays as it is.
func encode(value any) ([]byte, error) {
	if raw, ok := value.(json.RawMessage); ok {
		return raw, nil
	}
	var data bytes.Buffer
	encoder := json.NewEncoder(&data)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(value)
	return bytes.TrimSuffix(data.Bytes(), []byte("\n")), err
}

func isBlank(data []byte) bool { return len(bytes.TrimSpace(data)) == 0 }

// writeAside writes a new file under a dot-name that is nobody else's, durably, and returns its path.
func writeAside(dir, stem string, data []byte) (string, error) {
	path := filepath.Join(dir, "."+stem+"."+random())
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return "", err
	}
	_, err = file.Write(data)
	if err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err != nil {
		os.Remove(path)
	}
	return path, err
}

// linkNew gives a file a second name and never replaces one: fs.ErrExist. Where the file system has no hard links it
// looks, then renames, which leaves a short moment for a race (SPEC section 11).
func linkNew(old, name string) error {
	err := os.Link(old, name)
	if err == nil || errors.Is(err, fs.ErrExist) || !hasNoLinks(err) {
		return err
	}
	if exists(name) {
		return fs.ErrExist
	}
	return os.Rename(old, name)
}

func hasNoLinks(err error) bool {
	for _, number := range []syscall.Errno{syscall.EPERM, syscall.ENOTSUP, syscall.EOPNOTSUPP, syscall.ENOSYS, syscall.EMLINK} {
		if errors.Is(err, number) {
			return true
		}
	}
	return false
}

// syncDir makes new names durable, where the system can.
func syncDir(dir string) {
	if file, err := os.Open(dir); err == nil {
		_ = file.Sync()
		_ = file.Close()
	}
}

func random() string {
	var bits [6]byte
	if _, err := rand.Read(bits[:]); err != nil {
		panic(err) // no system that can run this is without
	}
	return hex.EncodeToString(bits[:])
}

// sleep returns the context's error if that is done first.
func sleep(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
	return ctx.Err()
}
