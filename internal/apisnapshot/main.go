// Command apisnapshot keeps what the public packages of the workspace export as text in
// the folder api, one line for each exported thing, so that a review shows how a
// change touches those who use them. It runs in the root of the workspace:
//
//	go run ./internal/apisnapshot            # compares; exit status 1 if anything differs
//	go run ./internal/apisnapshot -update    # writes the snapshots anew
//
// A package is public unless it is a command, an internal package or has tests only.
// The text depends neither on GOOS and GOARCH nor on the version of Go; where a package
// exports something else on another system, comparing there with GOOS and GOARCH set
// tells.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
)

// What the command exits with.
const (
	exitSame    = 0
	exitDiffers = 1
	exitFailed  = 2
)

// folder holds the snapshots.
const folder = "api"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	status := command(ctx, ".", os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}

// command is the command line: it works in the workspace at root.
func command(ctx context.Context, root string, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("apisnapshot", flag.ContinueOnError)
	flags.SetOutput(stderr)
	update := flags.Bool("update", false, "write the snapshots anew instead of comparing")
	if err := flags.Parse(args); err != nil {
		return exitFailed
	}
	if flags.NArg() > 0 {
		_, _ = fmt.Fprintln(stderr, "apisnapshot: no arguments are taken, only -update")
		return exitFailed
	}

	differs, err := run(ctx, root, *update, stdout)
	switch {
	case err != nil:
		_, _ = fmt.Fprintln(stderr, "apisnapshot:", err)
		return exitFailed
	case differs && !*update:
		_, _ = fmt.Fprint(stderr, "\nThe exported API is not the one in "+folder+"/. If that is meant: go run ./internal/apisnapshot -update\n")
		return exitDiffers
	}
	return exitSame
}

// run compares the packages of the workspace at root with their snapshots, prints what
// differs, and with update writes it.
func run(ctx context.Context, root string, update bool, stdout io.Writer) (differs bool, err error) {
	packages, err := publicPackages(ctx, root)
	if err != nil {
		return false, err
	}
	now, err := snapshots(packages)
	if err != nil {
		return false, err
	}
	kept, err := readSnapshots(root)
	if err != nil {
		return false, err
	}

	for _, name := range names(kept, now) {
		changes := compare(lines(kept[name]), lines(now[name]))
		if changes.none() && kept[name] == now[name] {
			continue
		}
		differs = true
		changes.print(stdout, folder+"/"+name)
		if !update {
			continue
		}
		if err := writeSnapshot(root, name, now[name]); err != nil {
			return differs, err
		}
	}
	if !differs {
		_, _ = fmt.Fprintf(stdout, "%d packages export what %s/ says.\n", len(now), folder)
	}
	return differs, nil
}
