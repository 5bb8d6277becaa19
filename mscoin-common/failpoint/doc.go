// Package failpoint lets a fault test make a running process fail at a write boundary:
// just before a transaction commits or a batch is produced, or just after. Programs are
// built with the tag failpoint for that; without it Enabled is the constant false, and
// nothing of a failpoint is left in the program.
//
// A point is armed by a file with its name in the folder that the variable Env names;
// its content is the action: "exit", "error" or "delay 3s". The first process that
// comes by takes the file away by renaming it to name+Fired, and acts; so a point acts
// once, is armed while programs run, and shows that it acted.
//
// (go.etcd.io/gofail rewrites sources before a build and gives each process an address to
// be armed at. The sources that run would not be the ones that were reviewed.)
package failpoint

const (
	// Env names the folder of the armed points. Without it no point acts.
	Env = "MSCOIN_FAILPOINTS"
	// Fired ends the name of the file of a point that has acted.
	Fired = ".fired"
	// Exit is an action: the process ends at once with ExitCode.
	Exit = "exit"
	// Error is an action: the point returns an error.
	Error = "error"
	// Delay is an action, followed by a space and a duration: the point waits.
	Delay = "delay"
	// ExitCode is how a process ends that Exit has met.
	ExitCode = 86
)
