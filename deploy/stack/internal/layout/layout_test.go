package layout

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

func TestSettings_Ports(t *testing.T) {
	t.Run("no two listeners share a port, and all lie within the span", func(t *testing.T) {
		s := Settings{DB: MariaDB, Brokers: 3, BasePort: 30000, Partitions: 1}
		ports := []int{s.DatabasePort(), s.RedisPort()}
		for n := 1; n <= s.Brokers; n++ {
			ports = append(ports, s.BrokerPort(n), s.ControllerPort(n))
		}
		for _, name := range Services() {
			ports = append(ports, s.ServicePort(name))
		}
		slices.Sort(ports)
		if got := len(slices.Compact(slices.Clone(ports))); got != len(ports) {
			t.Errorf("%d ports, %d different: %v", len(ports), got, ports)
		}
		if ports[0] < s.BasePort || ports[len(ports)-1] >= s.BasePort+PortSpan {
			t.Errorf("outside of the span: %v", ports)
		}
	})
	t.Run("an unknown service has no port", func(t *testing.T) {
		if p := Default().ServicePort("nobody"); p != 0 {
			t.Errorf("got %d", p)
		}
	})
}

func TestSettings_Validate(t *testing.T) {
	if err := Default().Validate(); err != nil {
		t.Fatalf("the default: %v", err)
	}
	for rule, spoil := range map[string]func(*Settings){
		"an unknown database":         func(s *Settings) { s.DB = "postgres" },
		"two brokers have no quorum":  func(s *Settings) { s.Brokers = 2 },
		"a privileged port":           func(s *Settings) { s.BasePort = 80 },
		"ports beyond the last":       func(s *Settings) { s.BasePort = 65500 },
		"no partition":                func(s *Settings) { s.Partitions = 0 },
		"more partitions than needed": func(s *Settings) { s.Partitions = 1000 },
		"an unknown service":          func(s *Settings) { s.Services = []string{"nobody"} },
	} {
		t.Run(rule, func(t *testing.T) {
			s := Default()
			spoil(&s)
			if s.Validate() == nil {
				t.Errorf("accepted: %+v", s)
			}
		})
	}
}

func TestFolder(t *testing.T) {
	t.Run("only its owner may look into it", func(t *testing.T) {
		f, err := Open(filepath.Join(t.TempDir(), "stack"))
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(string(f))
		if err != nil || info.Mode().Perm() != 0o700 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
	})
	t.Run("databases and broker counts never share data", func(t *testing.T) {
		f := Folder("/x")
		seen := map[string]bool{}
		for _, db := range []string{MariaDB, MySQL} {
			for _, brokers := range []int{1, 3} {
				seen[f.Data(Settings{DB: db, Brokers: brokers}, "kafka-1")] = true
			}
		}
		if len(seen) != 4 {
			t.Errorf("got %v", seen)
		}
	})
	t.Run("settings come back as they were saved", func(t *testing.T) {
		f, err := Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if _, found, err := f.Load(); found || err != nil {
			t.Errorf("before the first start: %v, %v", found, err)
		}
		want := Settings{DB: MySQL, Brokers: 3, BasePort: 4000, Partitions: 4, Profile: Normal, Services: []string{"wallet"}, Root: "/r"}
		if err := f.Save(want); err != nil {
			t.Fatal(err)
		}
		got, found, err := f.Load()
		if err != nil || !found || !got.SameServers(want) || !slices.Equal(got.Services, want.Services) || got.Root != want.Root {
			t.Errorf("got %+v, %v, %v", got, found, err)
		}
	})
	t.Run("damaged settings are an error and not the default", func(t *testing.T) {
		f, err := Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f.settingsFile(), []byte("{"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, _, err := f.Load(); err == nil {
			t.Error("accepted")
		}
	})
}

func TestOpen_Path(t *testing.T) {
	t.Run("a path that one of the servers would read as two is refused, and nothing is made", func(t *testing.T) {
		dir := filepath.Join(t.TempDir(), "a,b")
		if _, err := Open(dir); err == nil {
			t.Error("accepted")
		}
		if _, err := os.Stat(dir); err == nil {
			t.Error("the folder was made")
		}
	})
	t.Run("blanks and accents are fine", func(t *testing.T) {
		if _, err := Open(filepath.Join(t.TempDir(), "dépôt no 1")); err != nil {
			t.Error(err)
		}
	})
}
