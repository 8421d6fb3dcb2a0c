//go:build unix

package pgserver

import (
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"syscall"
)

// owner is as whom root has PostgreSQL run: the user that its packages make. PostgreSQL refuses to
// run as root.
const owner = "postgres"

// credential gives the owner where this process is root, else nil.
func credential() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // no other user is needed
	}
	account, err := user.Lookup(owner)
	if err != nil {
		return nil, fmt.Errorf("PostgreSQL does not run as root: %w", err)
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// giveToOwner hands the folder to the owner.
func giveToOwner(dir string) error {
	as, err := credential()
	if err != nil || as == nil {
		return err
	}
	return os.Chown(dir, int(as.Uid), int(as.Gid))
}

// runAsOwner has a command run by the owner.
func runAsOwner(cmd *exec.Cmd) error {
	as, err := credential()
	if err != nil || as == nil {
		return err
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as}
	return nil
}

// detach puts a command into a process group of its own.
func detach(cmd *exec.Cmd) {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = new(syscall.SysProcAttr)
	}
	cmd.SysProcAttr.Setpgid = true
}
