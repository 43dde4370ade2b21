//go:build !unix

package main

import (
	"os"
	"os/exec"
)

func apart(*exec.Cmd) {}

// signalAll ends a command; here there is no asking, and no group.
func signalAll(cmd *exec.Cmd, _ bool) { _ = cmd.Process.Kill() }

func signalOf(*os.ProcessState) int { return 0 }
