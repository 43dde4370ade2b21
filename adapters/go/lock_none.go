//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package taskdir

import (
	"context"
	"os"
)

// lock locks nothing here, since package syscall has no flock: the lease is renewed instead.
func (c *Claim) lock(ctx context.Context) (*os.File, error) {
	if c.Gone() {
		return nil, c.gone()
	}
	return nil, ctx.Err()
}
