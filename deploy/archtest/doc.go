// Package archtest holds the table of who may import whom, and the test that
// enforces it. The linter checks the same while you type; this test is the
// authority.
package archtest
