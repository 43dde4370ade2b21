package taskdir

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// another is set in the environment of a second process: this test binary, which then locks the file of that name,
// says whether it could, and lets go at the end of stdin.
const another = "TASKDIR_TEST_LOCKS"

func TestMain(m *testing.M) {
	path := os.Getenv(another)
	if path == "" {
		os.Exit(m.Run())
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, release, err := (&Claim{Path: path}).Hold(ctx)
	if err == nil {
		fmt.Println("locked")
		_, _ = io.Copy(io.Discard, os.Stdin)
		release()
	} else {
		fmt.Println("busy")
	}
}

// lockElsewhere has another process try for the lock; what ends that process is returned.
func lockElsewhere(t *testing.T, path string) (said string, end func()) {
	t.Helper()
	other := exec.Command(os.Args[0])
	other.Env = append(os.Environ(), another+"="+path)
	stdin, err := other.StdinPipe()
	must(t, err)
	stdout, err := other.StdoutPipe()
	must(t, err)
	must(t, other.Start())
	said, err = bufio.NewReader(stdout).ReadString('\n')
	must(t, err)
	return strings.TrimSpace(said), func() {
		must(t, stdin.Close())
		must(t, other.Wait())
	}
}

func hasFlock(t *testing.T, claim *Claim) {
	t.Helper()
	file, err := claim.lock(context.Background())
	must(t, err)
	if file == nil {
		t.Skip("NOT TESTED: no flock here")
	}
	_ = file.Close()
}

func TestAHoldIsALockThatOtherProcessesSee(t *testing.T) {
	claim := claimed(t, newRoot(t), 1)
	hasFlock(t, claim)
	held, release, err := claim.Hold(context.Background())
	must(t, err)
	said, end := lockElsewhere(t, claim.Path)
	end()
	if said != "busy" {
		t.Errorf("another process says %q while it is held", said)
	}
	must(t, held.Err())
	child := exec.Command("sleep", "60") // a child does not get the lock
	must(t, child.Start())
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()
	release()
	release()
	wantIs(t, held.Err(), context.Canceled)
	said, end = lockElsewhere(t, claim.Path)
	defer end()
	if said != "locked" {
		t.Errorf("another process says %q after the release", said)
	}
	_, _, err = claim.Hold(context.Background())
	wantIs(t, err, ErrHeld)
}

func TestAHoldEndsWithItsFile(t *testing.T) {
	claim := claimed(t, newRoot(t), 1)
	held, release, err := claim.Hold(context.Background())
	must(t, err)
	defer release()
	must(t, os.Remove(claim.Path))
	select {
	case <-held.Done():
	case <-time.After(20 * time.Second):
		t.Error("nobody noticed")
	}
}

func TestWithoutALockTheLeaseIsRenewed(t *testing.T) {
	claim := claimed(t, newRoot(t), 1)
	put(t, claim.Path, `{"lease_seconds": 0.3}`)
	must(t, os.Chtimes(claim.Path, time.Unix(1, 0), time.Unix(1, 0)))
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(20*time.Second, cancel)
	over := make(chan struct{})
	go func() {
		defer close(over)
		claim.watch(ctx, nil)
	}()
	for ctx.Err() == nil {
		if info, err := os.Stat(claim.Path); err == nil && info.ModTime().Unix() != 1 {
			break
		}
		_ = sleep(ctx, time.Millisecond)
	}
	must(t, ctx.Err())
	cancel()
	<-over
}

func worker(root *Root, handle Handler) *Worker {
	return &Worker{Root: root, Agent: "me", Handle: handle, Idle: time.Nanosecond}
}

func TestAWorkerHandsInWhatTheHandlerReturns(t *testing.T) {
	for _, test := range []struct {
		output any
		err    error
		want   string
	}{
		{7, nil, `{"status":"ok","output":7}`},
		{nil, errors.New("oh"), `{"status":"error","error":{"code":"error","message":"oh"},"retry":true}`},
		{nil, fmt.Errorf("so: %w", &Failure{Code: "no-disk", Message: "full"}), `{"status":"error","error":{"code":"no-disk","message":"full"}}`},
		{nil, &Failure{Code: "NO WORD", Message: "x"}, `{"status":"error","error":{"message":"x"}}`},
		{make(chan int), nil, `{"status":"error","error":{"code":"output","message":"json: unsupported type: chan int"}}`},
	} {
		root := newRoot(t)
		path := offer(t, root, "ready/default", 1)
		must(t, worker(root, func(ctx context.Context, claim *Claim) (any, error) {
			return test.output, test.err
		}).Run(context.Background()))
		wantResult(t, filepath.Join(root.dir, "claimed/me", filepath.Base(path)), test.want)
	}
}

func TestAWorkerResumesWhatTheAgentLeft(t *testing.T) {
	root := newRoot(t)
	left := claimed(t, root, 5)
	offer(t, root, "ready/default", 1)
	var did []string
	must(t, worker(root, func(_ context.Context, claim *Claim) (any, error) {
		did = append(did, claim.ID)
		return claim.ID, nil
	}).Run(context.Background()))
	if strings.Join(did, " ") != "t5 t1" {
		t.Errorf("it did %q", did)
	}
	wantResult(t, left.Path, `{"status":"ok","output":"t5"}`)
}

func TestAWorkerFailsWhatWasRefused(t *testing.T) {
	root := newRoot(t)
	left := claimed(t, root, 5)
	put(t, left.RefusedPath(), `{"code": "output-contract"}`)
	must(t, worker(root, func(_ context.Context, claim *Claim) (any, error) {
		return nil, errors.New("it was run again")
	}).Run(context.Background()))
	wantResult(t, left.Path, `{"status":"error","error":{"code":"refused","message":"the result was refused"},"retry":true}`)
}

func TestAWorkerLeavesToATwinWhatThatHolds(t *testing.T) {
	root := newRoot(t)
	left := claimed(t, root, 5)
	hasFlock(t, left)
	said, end := lockElsewhere(t, left.Path)
	defer end()
	if said != "locked" {
		t.Fatal(said)
	}
	must(t, worker(root, func(_ context.Context, claim *Claim) (any, error) {
		return nil, errors.New("two do it at once")
	}).Run(context.Background()))
	wantTree(t, root, "claimed/me/"+filepath.Base(left.Path))
}

func TestAWorkerGivesBack(t *testing.T) {
	root := newRoot(t)
	offer(t, root, "ready/default", 1)
	must(t, worker(root, func(context.Context, *Claim) (any, error) { return nil, ErrGiveBack }).Run(context.Background()))
	wantTree(t, root)
}

func TestAResultThatTheHandlerHandedInStands(t *testing.T) {
	root := newRoot(t)
	left := claimed(t, root, 1)
	must(t, worker(root, func(_ context.Context, claim *Claim) (any, error) {
		return "second", claim.Finish("first")
	}).Run(context.Background()))
	wantResult(t, left.Path, `{"status":"ok","output":"first"}`)
}

func TestAClaimThatVanishesEndsTheHandlerAndNothingIsHandedIn(t *testing.T) {
	root := newRoot(t)
	offer(t, root, "ready/default", 1)
	must(t, worker(root, func(ctx context.Context, claim *Claim) (any, error) {
		must(t, os.Remove(claim.Path))
		<-ctx.Done()
		return "late", nil
	}).Run(context.Background()))
	wantTree(t, root)
}

func TestTheTaskInHandIsFinishedWhenTheContextEnds(t *testing.T) {
	root := newRoot(t)
	offer(t, root, "ready/default", 1)
	offer(t, root, "ready/default", 2)
	ctx, cancel := context.WithCancel(context.Background())
	w := worker(root, func(held context.Context, claim *Claim) (any, error) {
		cancel()
		return nil, held.Err()
	})
	w.Idle = 0
	must(t, w.Run(ctx))
	wantTree(t, root, "ready/default/5-000000000002.t2.1.json", "claimed/me/5-000000000001.t1.1.json",
		"claimed/me/5-000000000001.t1.1.result.json")
	wantResult(t, filepath.Join(root.dir, "claimed/me/5-000000000001.t1.1.json"), `{"status":"ok","output":null}`)
}

func TestAWorkerOfARootThatIsGoneEndsAndMakesNothing(t *testing.T) {
	root := newRoot(t)
	must(t, os.RemoveAll(root.dir))
	w := worker(root, nil)
	w.Idle = 0
	wantIs(t, w.Run(context.Background()), fs.ErrNotExist)
	if exists(root.dir) {
		t.Error("the root is there again")
	}
}

func TestTasksEndsAWorker(t *testing.T) {
	root := newRoot(t)
	for n := 1; n <= 3; n++ {
		offer(t, root, "ready/default", n)
	}
	w := worker(root, func(context.Context, *Claim) (any, error) { return nil, nil })
	w.Tasks, w.Idle = 2, 0
	must(t, w.Run(context.Background()))
	if names, _ := offersIn(filepath.Join(root.dir, "ready/default")); len(names) != 1 {
		t.Errorf("left over: %q", names)
	}
}

func TestAPanicFailsTheTaskAndGoesOn(t *testing.T) {
	root := newRoot(t)
	left := claimed(t, root, 1)
	defer func() {
		if recover() == nil {
			t.Error("the panic was swallowed")
		}
		wantResult(t, left.Path, `{"status":"error","error":{"code":"panic","message":"the handler panicked"},"retry":true}`)
	}()
	_ = worker(root, func(context.Context, *Claim) (any, error) { panic("oh") }).Run(context.Background())
}
