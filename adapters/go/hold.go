package taskdir

import (
	"context"
	"os"
	"sync"
	"time"
)

// lockPatience is how long a lock is tried for: the daemon's own probe may have it for an instant.
const lockPatience = 500 * time.Millisecond

// Hold keeps the lease fresh until release is called: by a lock on the claimed file (SPEC section 7.6), or, where locks
// do not work, by touching it after every third of the lease. The context that it returns is done once the claimed file
// is gone, besides when ctx is: then stop, the task is somebody else's. Errors: ErrGone, ErrHeld, ctx's own.
//
// Finish, fail or give back first, then release: a lock that goes without a result means that you were killed.
func (c *Claim) Hold(ctx context.Context) (held context.Context, release func(), err error) {
	lock, err := c.lock(ctx)
	if err != nil {
		return nil, nil, err
	}
	held, cancel := context.WithCancel(ctx)
	over := make(chan struct{})
	go func() {
		defer close(over)
		defer cancel()
		c.watch(held, lock)
	}()
	var once sync.Once
	return held, func() {
		once.Do(func() {
			cancel()
			<-over
			if lock != nil {
				_ = lock.Close()
			}
		})
	}, nil
}

// watch looks until the claimed file is gone or ctx is done, and renews the lease while lock does not: it is nil, or it
// is on a file that was replaced, which ends the hold and not the claim.
func (c *Claim) watch(ctx context.Context, lock *os.File) {
	every := time.Second // until the lease is known
	if offer, err := c.Offer(); err == nil && offer.LeaseSeconds > 0 && offer.LeaseSeconds <= 604800 {
		every = time.Duration(offer.LeaseSeconds * float64(time.Second) / 3)
	}
	look := poll
	if every < look {
		look = every
	}
	var renewed time.Time // never: work that is resumed may be near its lease's end
	for sleep(ctx, look) == nil && !c.Gone() {
		if time.Since(renewed) >= every && !isOn(lock, c.Path) {
			if err := c.Keep(); err == nil {
				renewed = time.Now()
			}
		}
	}
}

// isOn says whether an open file is the one of that name.
func isOn(file *os.File, path string) bool {
	if file == nil {
		return false
	}
	opened, err := file.Stat()
	if err != nil {
		return false
	}
	named, err := os.Lstat(path)
	return err == nil && os.SameFile(opened, named)
}
