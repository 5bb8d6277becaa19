package money_test

import (
	"errors"
	"math"
	"math/big"
	"regexp"
	"strings"
	"testing"
	"time"

	"mscoin/mscoin-common/clock"
	"mscoin/mscoin-common/money"
)

func TestParse(t *testing.T) {
	cases := []struct {
		rule  string
		text  string
		scale int
		want  int64
		err   error
	}{
		{"whole number", "12", 2, 1200, nil},
		{"zero", "0", 8, 0, nil},
		{"fraction shorter than the scale", "1.5", 8, 150000000, nil},
		{"fraction as long as the scale", "1.23456789", 8, 123456789, nil},
		{"trailing zeros beyond the scale are fine", "1.50000000000000000000", 1, 15, nil},
		{"leading zeros are fine", "00012.30", 2, 1230, nil},
		{"scale zero takes zeros only", "7.000", 0, 7, nil},
		{"largest amount", "92233720368.54775807", 8, math.MaxInt64, nil},
		{"leading zeros do not hide the largest amount", "00000000092233720368.54775807", 8, math.MaxInt64, nil},
		{"one unit above the largest", "92233720368.54775808", 8, 0, money.ErrRange},
		{"twenty digits", "99999999999999999999", 0, 0, money.ErrRange},
		{"digit beyond the scale", "1.23", 1, 0, money.ErrPrecision},
		{"last of twenty digits beyond the scale", "1.00000000000000000001", 8, 0, money.ErrPrecision},
		{"scale zero refuses a fraction", "7.5", 0, 0, money.ErrPrecision},
		{"empty", "", 8, 0, money.ErrSyntax},
		{"minus", "-1", 8, 0, money.ErrSyntax},
		{"plus", "+1", 8, 0, money.ErrSyntax},
		{"exponent", "1e8", 8, 0, money.ErrSyntax},
		{"exponent with sign", "1E+2", 8, 0, money.ErrSyntax},
		{"no digit before the point", ".5", 8, 0, money.ErrSyntax},
		{"no digit after the point", "5.", 8, 0, money.ErrSyntax},
		{"point alone", ".", 8, 0, money.ErrSyntax},
		{"two points", "1.2.3", 8, 0, money.ErrSyntax},
		{"space before", " 1", 8, 0, money.ErrSyntax},
		{"newline after", "1\n", 8, 0, money.ErrSyntax},
		{"zero byte", "1\x00", 8, 0, money.ErrSyntax},
		{"thousands separator", "1,000", 8, 0, money.ErrSyntax},
		{"underscore", "1_000", 8, 0, money.ErrSyntax},
		{"hexadecimal", "0x10", 8, 0, money.ErrSyntax},
		{"Arabic-Indic digits", "١٢", 8, 0, money.ErrSyntax},
		{"full-width digits", "\uff11\uff12", 8, 0, money.ErrSyntax},
		{"Unicode minus", "−1", 8, 0, money.ErrSyntax},
		{"infinity", "Inf", 8, 0, money.ErrSyntax},
		{"not a number", "NaN", 8, 0, money.ErrSyntax},
		{"21 digits before the point", strings.Repeat("0", 20) + "1", 8, 0, money.ErrSyntax},
		{"21 digits after the point", "1." + strings.Repeat("0", 21), 8, 0, money.ErrSyntax},
		{"41 bytes", strings.Repeat("0", 20) + "." + strings.Repeat("0", 20), 8, 0, money.ErrSyntax},
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) {
			got, err := money.Parse(c.text, c.scale)
			if !errors.Is(err, c.err) || (c.err == nil && err != nil) || got != c.want {
				t.Errorf("Parse(%q, %d) = %d, %v; want %d, %v", c.text, c.scale, got, err, c.want, c.err)
			}
		})
	}
	t.Run("a scale the exchange does not keep is a defect", func(t *testing.T) {
		for _, scale := range []int{-1, 9} {
			if !panics(func() { _, _ = money.Parse("1", scale) }) {
				t.Errorf("scale %d was accepted", scale)
			}
		}
	})
}

// TestParse_Hostile: shopspring/decimal needs more than a second and gigabytes for
// this text; here its length is looked at first.
func TestParse_Hostile(t *testing.T) {
	clk := clock.Real()
	for name, text := range map[string]string{
		"1 MB of digits":           strings.Repeat("9", 1<<20),
		"1 MB of zeros, then a 1":  strings.Repeat("0", 1<<20) + "1",
		"1 MB of decimals":         "0." + strings.Repeat("1", 1<<20),
		"a huge exponent":          "1e" + strings.Repeat("9", 1<<20),
		"1 MB of Unicode digits":   strings.Repeat("٣", 1<<19),
		"1 MB of decimal points":   strings.Repeat(".", 1<<20),
		"41 bytes of digits, just": strings.Repeat("9", 41),
	} {
		t.Run(name+" is refused at once", func(t *testing.T) {
			const rounds = 1000
			start := clk.Now()
			for range rounds {
				if _, err := money.Parse(text, 8); !errors.Is(err, money.ErrSyntax) {
					t.Fatalf("got %v", err)
				}
			}
			// Reading a megabyte a thousand times takes much longer than this.
			if took := clk.Now().Sub(start); took > 50*time.Millisecond {
				t.Errorf("%d refusals took %v", rounds, took)
			}
			if n := testing.AllocsPerRun(10, func() { _, _ = money.Parse(text, 8) }); n != 0 {
				t.Errorf("a refusal allocates %v times", n)
			}
		})
	}
}

func TestFormat(t *testing.T) {
	cases := []struct {
		units       int64
		scale       int
		want, fixed string
	}{
		{0, 0, "0", "0.00000000"},
		{0, 8, "0.00000000", "0.00000000"},
		{150000000, 8, "1.50000000", "1.50000000"},
		{-1, 2, "-0.01", "-0.01000000"},
		{5, 0, "5", "5.00000000"},
		{1234567, 6, "1.234567", "1.23456700"},
		{math.MaxInt64, 8, "92233720368.54775807", "92233720368.54775807"},
		{math.MinInt64, 8, "-92233720368.54775808", "-92233720368.54775808"},
		{math.MinInt64, 0, "-9223372036854775808", "-9223372036854775808.00000000"},
	}
	for _, c := range cases {
		if got := money.Format(c.units, c.scale); got != c.want {
			t.Errorf("Format(%d, %d) = %q, want %q", c.units, c.scale, got, c.want)
		}
		if got := money.FormatFixed8(c.units, c.scale); got != c.fixed {
			t.Errorf("FormatFixed8(%d, %d) = %q, want %q", c.units, c.scale, got, c.fixed)
		}
	}
	if !panics(func() { money.Format(1, 9) }) {
		t.Error("scale 9 was accepted")
	}
}

func TestFormat_RoundTrip(t *testing.T) {
	rng := seeded(t)
	for range 100_000 {
		units, scale := anyInt64(rng), rng.IntN(money.MaxScale+1)
		if units < 0 {
			units = -(units + 1)
		}
		for _, text := range []string{money.Format(units, scale), money.FormatFixed8(units, scale)} {
			if got, err := money.Parse(text, scale); err != nil || got != units {
				t.Fatalf("%d at scale %d became %q, then %d, %v", units, scale, text, got, err)
			}
		}
	}
}

var pattern = regexp.MustCompile(`^[0-9]{1,20}(\.[0-9]{1,20})?$`)

// FuzzParse compares with the documented pattern and with math/big.
func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"", "0", "1", "1.5", "-1", "+1", "1e8", ".5", "5.", "1.2.3", "١٢", "92233720368.54775807",
		"92233720368.54775808", "00000000000000000000.00000000000000000000", "1.00000000000000000001", "\x00", "1\n",
	} {
		f.Add(s, uint8(8))
		f.Add(s, uint8(0))
	}
	f.Fuzz(func(t *testing.T, s string, scale8 uint8) {
		scale := int(scale8) % (money.MaxScale + 1)
		got, err := money.Parse(s, scale)
		if len(s) > money.MaxTextBytes || !pattern.MatchString(s) {
			if !errors.Is(err, money.ErrSyntax) {
				t.Fatalf("Parse(%q) = %d, %v; want ErrSyntax", s, got, err)
			}
			return
		}
		exact, ok := new(big.Rat).SetString(s)
		if !ok {
			t.Fatalf("%q matches the pattern and is no number", s)
		}
		exact.Mul(exact, new(big.Rat).SetInt64(money.Pow10(scale)))
		switch {
		case !exact.IsInt():
			if !errors.Is(err, money.ErrPrecision) {
				t.Fatalf("Parse(%q, %d) = %d, %v; want ErrPrecision", s, scale, got, err)
			}
		case !exact.Num().IsInt64():
			if !errors.Is(err, money.ErrRange) {
				t.Fatalf("Parse(%q, %d) = %d, %v; want ErrRange", s, scale, got, err)
			}
		case err != nil || got != exact.Num().Int64():
			t.Fatalf("Parse(%q, %d) = %d, %v; want %v", s, scale, got, err, exact.Num())
		}
	})
}

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := money.Parse("60000.12345678", 8); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFormat(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		_ = money.Format(6_000_012_345_678, 8)
	}
}
