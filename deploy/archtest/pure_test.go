package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// mapless are the pure packages of which every bit of the result is compared or
// replayed: not even a map is in them, so that none can be iterated.
var mapless = []string{"exchange/matching", "exchange/matching/internal/image"}

// impure names what a piece of source does that a pure package may not.
func impure(n ast.Node, maps bool) string {
	switch n := n.(type) {
	case *ast.GoStmt:
		return "starts a goroutine"
	case *ast.ChanType, *ast.SelectStmt, *ast.SendStmt:
		return "uses a channel"
	case *ast.BasicLit:
		if n.Kind == token.IMAG || n.Kind == token.FLOAT && strings.Contains(n.Value, ".") { // 1e6 may be an integer
			return "uses floating point"
		}
	case *ast.Ident:
		if slices.Contains([]string{"float32", "float64", "complex64", "complex128"}, n.Name) {
			return "uses floating point"
		}
	case *ast.MapType:
		if !maps {
			return "uses a map"
		}
	}
	return ""
}

func TestSource(t *testing.T) {
	t.Run("pure packages start no goroutine, use no channel and no floating point, the order book no map", func(t *testing.T) {
		files := 0
		for _, p := range load(t) {
			if _, ok := pure[rel(p.ImportPath)]; !ok {
				continue
			}
			maps := !slices.Contains(mapless, rel(p.ImportPath))
			for _, name := range p.GoFiles {
				set := token.NewFileSet()
				file, err := parser.ParseFile(set, filepath.Join(p.Dir, name), nil, 0)
				if err != nil {
					t.Fatal(err)
				}
				files++
				ast.Inspect(file, func(n ast.Node) bool {
					if what := impure(n, maps); what != "" {
						t.Errorf("%s %s", set.Position(n.Pos()), what)
					}
					return true
				})
			}
		}
		if files == 0 {
			t.Error("no source was found")
		}
	})
}
