//go:build failpoint

package failpoint

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// Enabled says whether this program was built with failpoints.
const Enabled = true

// ErrInjected is what the action Error returns.
var ErrInjected = errors.New("injected fault")

// Hit acts as the armed point called name says: the process ends at once, as if it had
// been killed; or it waits; or an error comes back. A point that is not armed returns nil.
func Hit(name string) error {
	dir := os.Getenv(Env)
	if dir == "" {
		return nil
	}
	armed := filepath.Join(dir, name)
	fired := armed + Fired
	if os.Rename(armed, fired) != nil {
		return nil // not armed, or another process was faster
	}
	content, err := os.ReadFile(fired)
	if err != nil {
		return fmt.Errorf("failpoint %s: %w", name, err)
	}
	action, argument, _ := strings.Cut(strings.TrimSpace(string(content)), " ")
	switch action {
	case Exit:
		os.Exit(ExitCode)
	case Delay:
		d, err := time.ParseDuration(argument)
		if err != nil {
			return fmt.Errorf("failpoint %s: %w", name, err)
		}
		<-time.After(d)
		return nil
	}
	return fmt.Errorf("%w at %s", ErrInjected, name)
}
