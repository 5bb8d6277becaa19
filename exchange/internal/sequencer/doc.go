// Package sequencer turns the command log of a partition into output records.
//
// A [Machine] is the deterministic part: fed with the log's messages in order it
// yields exactly one record for each command of a listed symbol, and two machines
// fed with the same log yield the same bytes (MONEY-SAFETY H5, H13). It reads no
// clock (time is the log's append time), and nothing of its output depends on the
// order of a map.
//
// A [Sequencer] runs a machine: it rebuilds the state by replaying the log, checks
// that log, output and database agree, publishes what is missing and goes live. Any
// error of a write ends it: the process exits and replays.
//
// A [Gate] is the other side: it writes commands to the log and waits for the
// published record that answers them.
package sequencer
