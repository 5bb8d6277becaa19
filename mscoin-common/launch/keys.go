package launch

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"reflect"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// unknownKeys reports every key of the file that the configuration does not have: a
// misspelt one would silently leave its default.
func unknownKeys(file string, cfg any) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	var given any
	if err := yaml.Unmarshal(content, &given); err != nil {
		return fmt.Errorf("read configuration: %w", err)
	}
	return errors.Join(unknown("", given, reflect.TypeOf(cfg))...)
}

// unknown compares a value of the file with the type that it is read into.
func unknown(path string, given any, want reflect.Type) []error {
	for want.Kind() == reflect.Pointer {
		want = want.Elem()
	}
	var problems []error
	switch given := given.(type) {
	case map[string]any:
		if want.Kind() != reflect.Struct {
			return nil // a map takes any key; anything else is no longer there when it is read
		}
		fields := fieldsOf(want)
		for _, name := range slices.Sorted(maps.Keys(given)) {
			field, ok := fields[strings.ToLower(name)]
			if !ok {
				problems = append(problems, fmt.Errorf("there is no key %s%s", path, name))
				continue
			}
			problems = append(problems, unknown(path+name+".", given[name], field)...)
		}
	case []any:
		if want.Kind() == reflect.Slice {
			for i, v := range given {
				problems = append(problems, unknown(fmt.Sprintf("%s%d.", path, i), v, want.Elem())...)
			}
		}
	}
	return problems
}

// fieldsOf returns the types of a struct's fields by their names in a file, in lower case.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	fields := map[string]reflect.Type{}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			name = f.Name
		}
		fields[strings.ToLower(name)] = f.Type
	}
	return fields
}
