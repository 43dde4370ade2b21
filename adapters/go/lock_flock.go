//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package taskdir

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"time"
)

// lock opens the claimed file with close-on-exec and locks it; nil where the file system knows no locks.
func (c *Claim) lock(ctx context.Context) (*os.File, error) {
	until := time.Now().Add(lockPatience)
	for {
		file, err := os.OpenFile(c.Path, os.O_RDONLY|syscall.O_NOFOLLOW, 0) // os adds close-on-exec
		if err != nil {
			return nil, c.told(err)
		}
		err = flock(file)
		if err == nil && isOn(file, c.Path) {
			return file, nil
		}
		_ = file.Close()
		switch {
		case err == nil: // replaced or taken away before it was locked: look again
		case err != syscall.EWOULDBLOCK:
			return nil, ctx.Err() // no locks here; renewing does
		case time.Now().After(until):
			return nil, fmt.Errorf("%w: %s", ErrHeld, c.Path)
		}
		if err := sleep(ctx, 10*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

func flock(file *os.File) error {
	for {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err != syscall.EINTR {
			return err
		}
	}
}
