package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
)

// answer is a table. As JSON it is a list of objects with the columns' names.
type answer struct {
	columns []string
	rows    [][]string
	wrong   bool // the table shows that something is wrong
}

func newAnswer(columns ...string) *answer { return &answer{columns: columns} }

func (a *answer) add(cells ...string) { a.rows = append(a.rows, cells) }

func (a *answer) print(w io.Writer, asJSON bool) error {
	if asJSON {
		return a.printJSON(w)
	}
	if len(a.rows) == 0 {
		_, err := fmt.Fprintln(w, "nothing")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, row := range append([][]string{a.columns}, a.rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = shown(cell)
		}
		if _, err := fmt.Fprintln(table, strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	return table.Flush()
}

// shown keeps what came from a record or a person from changing the terminal.
func shown(cell string) string {
	if quoted := strconv.Quote(cell); quoted != `"`+cell+`"` && !strings.HasPrefix(cell, `"`) {
		return quoted
	}
	return cell
}

func (a *answer) printJSON(w io.Writer) error {
	list := make([]map[string]string, 0, len(a.rows))
	for _, row := range a.rows {
		object := make(map[string]string, len(row))
		for i, cell := range row {
			object[camel(a.columns[i])] = cell
		}
		list = append(list, object)
	}
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(list)
}

// camel makes "WANT SEQ" wantSeq.
func camel(column string) string {
	words := strings.Fields(strings.ToLower(column))
	for i := 1; i < len(words); i++ {
		words[i] = strings.ToUpper(words[i][:1]) + words[i][1:]
	}
	return strings.Join(words, "")
}
