package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// write makes the files of a release, with a time and modes of one builder.
func write(t *testing.T, at time.Time, program, text os.FileMode) []string {
	t.Helper()
	dir := t.TempDir()
	var files []string
	for name, mode := range map[string]os.FileMode{"program": program, "LICENSE": text} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte("content of "+name), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
		files = append(files, file) // in no order
	}
	return files
}

func TestTheSameContentMakesTheSameArchive(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	var want []byte
	for i := range 8 {
		archive := filepath.Join(dir, "archive.zip")
		files := write(t, time.Unix(int64(1e9+i*1e7), 0), 0o755, 0o644)
		if i%2 == 1 {
			files = write(t, time.Unix(int64(1e9+i*1e7), 0), 0o700, 0o600)
		}
		if err := pack(archive, files); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(archive)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			want = got
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("archive %d differs from the first", i)
		}
	}
}

func TestWhatIsPackedComesOut(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	archive := filepath.Join(dir, "archive.zip")
	if err := pack(archive, write(t, time.Now(), 0o700, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := unpack(archive, dir); err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"program": 0o100, "LICENSE": 0} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if string(got) != "content of "+name {
			t.Errorf("%s holds %q", name, got)
		}
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode()&0o100 != mode {
			t.Errorf("%s has mode %o", name, info.Mode())
		}
	}
}
