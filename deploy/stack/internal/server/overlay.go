package server

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"gopkg.in/yaml.v3"
)

// change sets one key of a configuration.
type change struct {
	// path names the key: names joined by dots.
	path  string
	value any
	// add allows the last name to be new.
	add bool
}

// overlay returns a configuration with changes. A key that the configuration does not
// have is an error: the service has been changed and the stack has not.
func overlay(text []byte, changes []change) ([]byte, error) {
	var root map[string]any
	if err := yaml.Unmarshal(text, &root); err != nil {
		return nil, err
	}
	var errs []error
	for _, c := range changes {
		if err := c.apply(root); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	out.WriteString("# Written by the stack from the service's own configuration.\n")
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(root), enc.Close()); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func (c change) apply(node map[string]any) error {
	names := strings.Split(c.path, ".")
	for _, name := range names[:len(names)-1] {
		next, ok := node[name].(map[string]any)
		if !ok {
			return fmt.Errorf("there is no section %s for %s", name, c.path)
		}
		node = next
	}
	last := names[len(names)-1]
	if _, ok := node[last]; !ok && !c.add {
		return fmt.Errorf("there is no key %s", c.path)
	}
	node[last] = c.value
	return nil
}
