// Command volume-folder makes or removes the folder of one local volume, as local-path-provisioner asks its helpers to.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

func main() {
	path := flag.String("p", "", "the volume's folder")
	size := flag.Uint64("s", 0, "bytes that were asked for")
	mode := flag.String("m", "Filesystem", "kind of volume")
	action := flag.String("a", "", "create or delete")
	flag.Parse()
	if err := run(*action, *path, *mode, *size); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(action, path, mode string, size uint64) error {
	// What is asked for comes from outside: never the folder of all volumes, and nothing that is not straight below it.
	root := os.Getenv("VOLUMES")
	if root == "" || filepath.Clean(path) != path || filepath.Dir(path) != root {
		return fmt.Errorf("%q is not a folder straight below %q, where the volumes are", path, root)
	}
	switch action {
	case "create":
		if mode != "Filesystem" {
			return fmt.Errorf("volume %s: %s volumes cannot be had here, only folders", filepath.Base(path), mode)
		}
		return create(path, root, size)
	case "delete":
		return os.RemoveAll(path)
	}
	return fmt.Errorf("%q is neither create nor delete", action)
}

func create(path, root string, size uint64) error {
	if found, err := os.Lstat(path); err == nil && found.IsDir() {
		return nil
	}
	free, err := available(root)
	if err != nil {
		return fmt.Errorf("%s: %w", root, err)
	}
	if size > free && os.Getenv("OVERCOMMIT") != "true" {
		return fmt.Errorf("volume %s: %d bytes were asked for, node %s has %d left below %s",
			filepath.Base(path), size, os.Getenv("NODE"), free, root)
	}
	if err := os.Mkdir(path, 0o777); err != nil {
		return err
	}
	return os.Chmod(path, 0o777) // whoever a pod runs as: the folder of all volumes is closed to the host's users
}

func available(path string) (uint64, error) {
	var found syscall.Statfs_t
	err := syscall.Statfs(path, &found)
	return found.Bavail * uint64(found.Bsize), err
}
