package programs

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"context"
	_ "embed" // the list of jars
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"mscoin/deploy/internal/private"
	"mscoin/deploy/stack/internal/layout"
	"mscoin/mscoin-common/clock"
)

//go:embed kafka.pom.xml
var kafkaPOM []byte

// Limits of the commands that fetch over the network.
const (
	aptLimit   = 8 * time.Minute
	mavenLimit = 8 * time.Minute
)

// dependencyPlugin is named with its version, so that a build today is a build tomorrow.
const dependencyPlugin = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:"

// Installer brings in what is missing.
type Installer struct {
	Folder layout.Folder
	// DB is the database that the stack will run on.
	DB string
	// Out tells the user what happens.
	Out io.Writer
	// Clock measures the pauses before a download is tried again.
	Clock clock.Clock
}

// Install makes sure that every program is there in a version that will do. Debian's
// packages are installed when this process may do so (root with apt-get); otherwise the
// error says what to install. What is there already is left alone.
func (in Installer) Install(ctx context.Context) error {
	if err := in.system(ctx); err != nil {
		return err
	}
	p := Find(in.Folder)
	if err := in.once(ctx, p.KafkaJars, "kafka "+KafkaVersion, in.fetchKafka); err != nil {
		return err
	}
	if in.DB == layout.MySQL {
		if err := in.once(ctx, p.mysqlHome(), "MySQL "+MySQLVersion, in.fetchMySQL); err != nil {
			return err
		}
		t := tool{p.MySQL, []string{"--no-defaults", "--version"}, mysqlVersion, [2]int{8, 0}, nil}
		line, err := t.check(ctx, "MySQL")
		if err != nil {
			return fmt.Errorf("%w (it needs the libraries of the packages libaio1 and libnuma1)", err)
		}
		in.say("%-20s %s", "mysql", line)
	}
	return nil
}

func (in Installer) say(format string, args ...any) { _, _ = fmt.Fprintf(in.Out, format+"\n", args...) }

// system checks the system's programs, installs the missing packages and checks again.
func (in Installer) system(ctx context.Context) error {
	packages, problems := in.look(ctx, false)
	if in.DB == layout.MySQL {
		packages = append(packages, missingLibraries()...)
	}
	if len(packages) > 0 {
		if err := in.apt(ctx, packages); err != nil {
			return errors.Join(err, problems)
		}
	}
	if _, problems = in.look(ctx, true); problems != nil {
		return fmt.Errorf("%w: %w", ErrMissing, problems)
	}
	return nil
}

// look returns the packages that bring what is missing, and what is wrong.
func (in Installer) look(ctx context.Context, tell bool) (packages []string, problems error) {
	p := Find(in.Folder)
	needMaven := !complete(p.KafkaJars) || in.DB == layout.MySQL && !complete(p.mysqlHome())
	tools := p.system(in.DB, needMaven)
	for _, name := range slices.Sorted(maps.Keys(tools)) {
		line, err := tools[name].check(ctx, name)
		if err != nil {
			problems = errors.Join(problems, err)
			packages = append(packages, tools[name].packages...)
		} else if tell {
			in.say("%-20s %s", name, line)
		}
	}
	slices.Sort(packages)
	return slices.Compact(packages), problems
}

// missingLibraries are the packages with the libraries of the MySQL test server.
func missingLibraries() []string {
	var packages []string
	for pkg, pattern := range map[string]string{"libaio1": "libaio.so.1*", "libnuma1": "libnuma.so.1*"} {
		found := false
		for _, dir := range []string{"/lib/*-linux-gnu", "/usr/lib/*-linux-gnu", "/usr/lib64", "/usr/lib"} {
			files, err := filepath.Glob(filepath.Join(dir, pattern))
			found = found || err == nil && len(files) > 0
		}
		if !found {
			packages = append(packages, pkg)
		}
	}
	slices.Sort(packages)
	return packages
}

// apt installs Debian packages when this process may.
func (in Installer) apt(ctx context.Context, packages []string) error {
	apt := find("apt-get")
	if apt == "" {
		return fmt.Errorf("%w: this is no Debian: install what Debian calls %s", ErrMissing, strings.Join(packages, " "))
	}
	if os.Geteuid() != 0 {
		return fmt.Errorf("%w: run  sudo apt-get install --no-install-recommends %s  and try again", ErrMissing, strings.Join(packages, " "))
	}
	in.say("apt-get install %s", strings.Join(packages, " "))
	ctx, cancel := context.WithTimeout(ctx, aptLimit)
	defer cancel()
	env := []string{"DEBIAN_FRONTEND=noninteractive"}
	patient := []string{"-qq", "-o", "Acquire::Retries=3", "-o", "DPkg::Lock::Timeout=120"}
	err := in.again(ctx, func() error { return run(ctx, env, apt, append([]string{"update"}, patient...)...) })
	if err != nil {
		return err
	}
	install := slices.Concat([]string{"install", "-y", "--no-install-recommends"}, patient, packages)
	return in.again(ctx, func() error { return run(ctx, env, apt, install...) })
}

// once fetches programs into a new folder and moves it into place when it is complete.
func (in Installer) once(ctx context.Context, dir, name string, fetch func(ctx context.Context, dir string) error) (err error) {
	if complete(dir) {
		in.say("%-20s %s", name, dir)
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(dir), 0o700); err != nil {
		return fmt.Errorf("install %s: %w", name, err)
	}
	tmp, err := os.MkdirTemp(filepath.Dir(dir), "new-")
	if err != nil {
		return fmt.Errorf("install %s: %w", name, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(tmp)) }()
	in.say("%-20s fetching with Maven", name)
	ctx, cancel := context.WithTimeout(ctx, mavenLimit)
	defer cancel()
	if err := fetch(ctx, tmp); err != nil {
		return fmt.Errorf("install %s: %w", name, err)
	}
	if err := private.WriteFile(filepath.Join(tmp, completeMark), nil); err != nil {
		return fmt.Errorf("install %s: %w", name, err)
	}
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("install %s: %w", name, err)
	}
	if err := os.Rename(tmp, dir); err != nil {
		return fmt.Errorf("install %s: %w", name, err)
	}
	in.say("%-20s %s", name, dir)
	return nil
}

// A download that fails is tried again, after a pause that doubles.
const (
	fetchAttempts = 3
	fetchPause    = 5 * time.Second
)

// again tries fetch a few times.
func (in Installer) again(ctx context.Context, fetch func() error) error {
	pause := fetchPause
	for attempt := 1; ; attempt++ {
		err := fetch()
		if err == nil || attempt == fetchAttempts {
			return err
		}
		in.say("trying again in %v: %v", pause, err)
		if sleepErr := clock.Sleep(ctx, in.Clock, pause); sleepErr != nil {
			return errors.Join(err, sleepErr)
		}
		pause *= 2
	}
}

// maven runs Maven; -U makes it ask again for what it could not get before.
func (in Installer) maven(ctx context.Context, args ...string) error {
	return in.again(ctx, func() error { return run(ctx, nil, Find(in.Folder).Maven, append([]string{"-U"}, args...)...) })
}

func (in Installer) fetchKafka(ctx context.Context, dir string) error {
	pom := filepath.Join(dir, "pom.xml")
	if err := private.WriteFile(pom, kafkaPOM); err != nil {
		return err
	}
	err := in.maven(ctx, "-B", "-q", "-f", pom, dependencyPlugin+"copy-dependencies",
		"-DoutputDirectory="+dir, "-DincludeScope=runtime")
	if err != nil {
		return err
	}
	if _, err := os.Stat(filepath.Join(dir, "kafka_2.13-"+KafkaVersion+".jar")); err != nil {
		return fmt.Errorf("Maven brought no server: %w", err) //nolint:staticcheck // a name
	}
	return nil
}

// mysqlArchive is the server within the test artifact; the Java launcher beside it turns
// flushing off and is not used.
const mysqlArchive = "mysql-Linux-amd64.tar.gz"

func (in Installer) fetchMySQL(ctx context.Context, dir string) (err error) {
	err = in.maven(ctx, "-B", "-q", dependencyPlugin+"copy", "-Dartifact="+mysqlArtifact, "-DoutputDirectory="+dir)
	if err != nil {
		return err
	}
	jars, err := filepath.Glob(filepath.Join(dir, "*.jar"))
	if err != nil || len(jars) != 1 {
		return errors.Join(err, fmt.Errorf("want one jar, got %d", len(jars)))
	}
	jar, err := zip.OpenReader(jars[0])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, jar.Close(), os.Remove(jars[0])) }()
	archive, err := jar.Open(mysqlArchive)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, archive.Close()) }()
	return unpack(archive, dir)
}

// maxUnpacked bounds what an archive may unpack to.
const maxUnpacked = 1 << 30

// unpack writes a .tar.gz below dir. Entries that would leave it are refused.
func unpack(r io.Reader, dir string) (err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	zr, err := gzip.NewReader(r)
	if err != nil {
		return err
	}
	files := tar.NewReader(io.LimitReader(zr, maxUnpacked))
	for {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := unpackOne(root, h, files); err != nil {
			return fmt.Errorf("unpack %s: %w", h.Name, err)
		}
	}
}

func unpackOne(root *os.Root, h *tar.Header, content io.Reader) error {
	name := filepath.Clean(h.Name)
	switch h.Typeflag {
	case tar.TypeDir:
		return root.MkdirAll(name, 0o700)
	case tar.TypeSymlink:
		if err := root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
		return root.Symlink(h.Linkname, name) // followed only within the folder
	case tar.TypeReg:
		if err := root.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			return err
		}
		f, err := root.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_EXCL, fs.FileMode(h.Mode)&0o700|0o600)
		if err != nil {
			return err
		}
		_, err = io.Copy(f, content)
		return errors.Join(err, f.Close())
	}
	return fmt.Errorf("entry of type %q", h.Typeflag)
}

// run runs a command; its error holds the end of what it printed.
func run(ctx context.Context, env []string, path string, args ...string) error {
	cmd := exec.CommandContext(ctx, path, args...) //nolint:gosec // found in PATH
	cmd.Env = append(os.Environ(), env...)
	cmd.WaitDelay = time.Second
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		text := strings.TrimSpace(out.String())
		return fmt.Errorf("%s: %w: %s", filepath.Base(path), errors.Join(err, ctx.Err()), text[max(0, len(text)-2000):])
	}
	return nil
}
