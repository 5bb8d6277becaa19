package programs

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"mscoin/deploy/stack/internal/layout"
	"mscoin/mscoin-common/clock"
)

func TestTool_Judge(t *testing.T) {
	java := tool{path: "java", pattern: javaVersion, least: [2]int{17, 0}}
	maven := tool{path: "mvn", pattern: mavenVersion, least: [2]int{3, 6}}
	mariadb := tool{path: "mariadbd", pattern: mariadbVersion, least: [2]int{10, 6}}
	redis := tool{path: "redis-server", pattern: redisVersion, least: [2]int{6, 2}}
	for _, tt := range []struct {
		tool tool
		out  string
		ok   bool
	}{
		{java, `openjdk version "17.0.15" 2025-04-15`, true},
		{java, `openjdk version "21" 2023-09-19`, true},
		{java, `java version "1.8.0_392"`, false},
		{java, `openjdk version "11.0.2"`, false},
		{java, "no such thing", false},
		{maven, "\x1b[1mApache Maven 3.8.7\x1b[m", true},
		{maven, "Apache Maven 3.0.5", false},
		{mariadb, "mariadbd  Ver 10.11.19-MariaDB-0+deb12u1 for debian-linux-gnu", true},
		{mariadb, "mariadbd  Ver 11.4.2-MariaDB", true},
		{mariadb, "mariadbd  Ver 10.3.39-MariaDB", false},
		{mariadb, "mysqld  Ver 8.0.15 for Linux", false},
		{redis, "Redis server v=7.0.15 sha=0", true},
		{redis, "Redis server v=5.0.3 sha=0", false},
	} {
		if line, err := tt.tool.judge("it", tt.out); (err == nil) != tt.ok {
			t.Errorf("%q: %q, %v", tt.out, line, err)
		}
	}
}

func TestPrograms_Check(t *testing.T) {
	t.Run("names everything that is missing and what to do", func(t *testing.T) {
		folder, err := layout.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		p := Programs{KafkaJars: folder.Programs() + "/kafka", MySQL: folder.Programs() + "/mysql/bin/mysqld"}
		err = p.Check(layout.MySQL)
		if !errors.Is(err, ErrMissing) {
			t.Fatalf("got %v", err)
		}
		for _, word := range []string{"java", "redis", "kafka", "MySQL", "make stack-install"} {
			if !strings.Contains(err.Error(), word) {
				t.Errorf("%q does not speak of %s", err, word)
			}
		}
		if err := p.Check(layout.MariaDB); err == nil || !strings.Contains(err.Error(), "mariadb-install-db") {
			t.Errorf("MariaDB: %v", err)
		}
	})
}

func TestKafkaPOM(t *testing.T) {
	if !bytes.Contains(kafkaPOM, []byte("<version>"+KafkaVersion+"</version>")) {
		t.Errorf("kafka.pom.xml does not ask for %s", KafkaVersion)
	}
}

func TestInstaller_Once(t *testing.T) {
	folder, err := layout.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(folder.Programs(), "thing-1")
	in := Installer{Folder: folder, DB: layout.MariaDB, Out: io.Discard}
	t.Run("what was not fetched whole is not there", func(t *testing.T) {
		boom := errors.New("boom")
		err := in.once(t.Context(), dir, "thing", func(_ context.Context, d string) error {
			return errors.Join(os.WriteFile(filepath.Join(d, "half"), nil, 0o600), boom)
		})
		if !errors.Is(err, boom) || complete(dir) {
			t.Errorf("%v, complete %v", err, complete(dir))
		}
		if left, err := os.ReadDir(folder.Programs()); err != nil || len(left) != 0 {
			t.Errorf("left over: %v, %v", left, err)
		}
	})
	t.Run("what is there is not fetched again", func(t *testing.T) {
		fetches := 0
		for range 2 {
			if err := in.once(t.Context(), dir, "thing", func(context.Context, string) error { fetches++; return nil }); err != nil {
				t.Fatal(err)
			}
		}
		if fetches != 1 || !complete(dir) {
			t.Errorf("%d fetches, complete %v", fetches, complete(dir))
		}
	})
}

// archive makes a .tar.gz.
func archive(t *testing.T, entries ...tar.Header) *bytes.Buffer {
	t.Helper()
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	tw := tar.NewWriter(zw)
	for _, h := range entries {
		h.Size = 0
		if h.Typeflag == tar.TypeReg {
			h.Size = 4
		}
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := tw.Write([]byte("data")); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := errors.Join(tw.Close(), zw.Close()); err != nil {
		t.Fatal(err)
	}
	return &out
}

func TestUnpack(t *testing.T) {
	t.Run("files, folders and links arrive; programs can be run, by their owner alone", func(t *testing.T) {
		dir := t.TempDir()
		err := unpack(archive(t,
			tar.Header{Name: "./bin/mysqld", Typeflag: tar.TypeReg, Mode: 0o755},
			tar.Header{Name: "lib", Typeflag: tar.TypeDir, Mode: 0o755},
			tar.Header{Name: "lib/a.so", Typeflag: tar.TypeReg, Mode: 0o644},
			tar.Header{Name: "lib/b.so", Typeflag: tar.TypeSymlink, Linkname: "a.so"},
		), dir)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(filepath.Join(dir, "bin", "mysqld")); err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("%v, %v", info, err)
		}
		if b, err := os.ReadFile(filepath.Join(dir, "lib", "b.so")); err != nil || string(b) != "data" {
			t.Errorf("%q, %v", b, err)
		}
	})
	for name, entries := range map[string][]tar.Header{
		"a path upwards":              {{Name: "../evil", Typeflag: tar.TypeReg, Mode: 0o600}},
		"an absolute path":            {{Name: "/evil", Typeflag: tar.TypeReg, Mode: 0o600}},
		"a file through a link away":  {{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "/tmp"}, {Name: "l/evil", Typeflag: tar.TypeReg, Mode: 0o600}},
		"a device":                    {{Name: "d", Typeflag: tar.TypeChar, Mode: 0o600}},
		"a second file with its name": {{Name: "f", Typeflag: tar.TypeReg, Mode: 0o600}, {Name: "f", Typeflag: tar.TypeReg, Mode: 0o600}},
	} {
		t.Run(name+" is refused", func(t *testing.T) {
			if err := unpack(archive(t, entries...), t.TempDir()); err == nil {
				t.Error("accepted")
			}
		})
	}
}

func TestInstaller_Again(t *testing.T) {
	try := func(failures int) (tries int, err error) {
		clk := clock.NewFake(time.UnixMilli(0))
		done := make(chan struct{})
		go func() {
			defer close(done)
			in := Installer{Out: io.Discard, Clock: clk}
			err = in.again(t.Context(), func() error {
				tries++
				if tries <= failures {
					return errors.New("no route")
				}
				return nil
			})
		}()
		for {
			select {
			case <-done:
				return tries, err
			default:
				clk.Advance(time.Second)
			}
		}
	}
	t.Run("a download that fails is tried again", func(t *testing.T) {
		if tries, err := try(2); err != nil || tries != 3 {
			t.Errorf("%d tries, %v", tries, err)
		}
	})
	t.Run("but not for ever", func(t *testing.T) {
		if tries, err := try(9); err == nil || tries != fetchAttempts {
			t.Errorf("%d tries, %v", tries, err)
		}
	})
}
