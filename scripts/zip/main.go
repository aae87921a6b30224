// Command zip packs the files of a release so that the same content makes the same
// archive: without times, in order of names, with one of two modes. It also unpacks
// them, for the test of a release where there is no unzip.
package main

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: zip ARCHIVE FILE... | zip -x ARCHIVE")
		os.Exit(2)
	}
	var err error
	if os.Args[1] == "-x" {
		err = unpack(os.Args[2], ".")
	} else {
		err = pack(os.Args[1], os.Args[2:])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "zip:", err)
		os.Exit(1)
	}
}

// epoch is the time of each entry: the first that the format knows.
var epoch = time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)

// pack puts the files into the archive, without their directories.
func pack(archive string, files []string) (err error) {
	files = slices.SortedFunc(slices.Values(files), func(a, b string) int {
		return strings.Compare(filepath.Base(a), filepath.Base(b))
	})
	out, err := os.Create(archive) //nolint:gosec // the caller says where
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	w := zip.NewWriter(out)
	for _, file := range files {
		if err := add(w, file); err != nil {
			return err
		}
	}
	return w.Close()
}

func add(w *zip.Writer, file string) error {
	in, err := os.Open(file) //nolint:gosec // the caller says which
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	info, err := in.Stat()
	if err != nil {
		return err
	}
	header := &zip.FileHeader{Name: filepath.Base(file), Method: zip.Deflate, Modified: epoch}
	header.SetMode(mode(info))
	entry, err := w.CreateHeader(header)
	if err != nil {
		return err
	}
	_, err = io.Copy(entry, in)
	return err
}

// mode does away with what the umask of the builder decides.
func mode(info fs.FileInfo) fs.FileMode {
	if info.Mode()&0o100 != 0 {
		return 0o755
	}
	return 0o644
}

// unpack writes the files of an archive into dir, and nowhere else.
func unpack(archive, dir string) (err error) {
	r, err := zip.OpenReader(archive)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	for _, entry := range r.File {
		if err := extract(entry, root); err != nil {
			return err
		}
	}
	return nil
}

func extract(entry *zip.File, root *os.Root) (err error) {
	in, err := entry.Open()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, in.Close()) }()
	out, err := root.OpenFile(entry.Name, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, entry.Mode().Perm())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	_, err = io.Copy(out, in) //nolint:gosec // an archive that we have made
	return err
}
