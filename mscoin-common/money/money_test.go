package money_test

import (
	"errors"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"

	"mscoin/mscoin-common/errs"
	"mscoin/mscoin-common/money"
)

// edges are the numbers around which int64 arithmetic goes wrong.
var edges = []int64{
	0, 1, -1, 2, -2, 3, 10, 1e8, -1e8, 1 << 31, 1 << 32, -(1 << 32), 1<<53 - 1, 1 << 62, -(1 << 62),
	3037000499, 3037000500, math.MaxInt64, math.MaxInt64 - 1, math.MinInt64, math.MinInt64 + 1,
}

// anyInt64 returns an edge, or a random number of random length.
func anyInt64(rng *rand.Rand) int64 {
	if rng.IntN(3) == 0 {
		return edges[rng.IntN(len(edges))]
	}
	v := int64(rng.Uint64() >> rng.IntN(64))
	if rng.IntN(2) == 0 {
		return -v
	}
	return v
}

// seeded returns a random number generator and prints its seed.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// check compares a result with the exact one.
func check(t *testing.T, op string, got int64, err error, want *big.Int) {
	t.Helper()
	switch {
	case want != nil && want.IsInt64():
		if err != nil || got != want.Int64() {
			t.Fatalf("%s = %d, %v; want %v", op, got, err, want)
		}
	case !errors.Is(err, money.ErrRange):
		t.Fatalf("%s = %d, %v; want ErrRange, exact result is %v", op, got, err, want)
	}
}

func checkAll(t *testing.T, a, b, c int64) {
	t.Helper()
	x, y, z := big.NewInt(a), big.NewInt(b), big.NewInt(c)
	got, err := money.Add(a, b)
	check(t, fmt.Sprintf("Add(%d, %d)", a, b), got, err, new(big.Int).Add(x, y))
	got, err = money.Sub(a, b)
	check(t, fmt.Sprintf("Sub(%d, %d)", a, b), got, err, new(big.Int).Sub(x, y))
	got, err = money.Mul(a, b)
	product := new(big.Int).Mul(x, y)
	check(t, fmt.Sprintf("Mul(%d, %d)", a, b), got, err, product)
	got, err = money.MulDivFloor(a, b, c)
	var floor *big.Int
	if c != 0 {
		// big.Int.Div is Euclidean; with a positive divisor that is the floor.
		n, d := new(big.Int).Set(product), new(big.Int).Set(z)
		if c < 0 {
			n.Neg(n)
			d.Neg(d)
		}
		floor = new(big.Int).Div(n, d)
	}
	check(t, fmt.Sprintf("MulDivFloor(%d, %d, %d)", a, b, c), got, err, floor)
}

func TestArithmetic(t *testing.T) {
	t.Run("edges agree with math/big or are out of range", func(t *testing.T) {
		for _, a := range edges {
			for _, b := range edges {
				for _, c := range edges {
					checkAll(t, a, b, c)
				}
			}
		}
	})
	t.Run("random numbers agree with math/big or are out of range", func(t *testing.T) {
		rng := seeded(t)
		for range 200_000 {
			checkAll(t, anyInt64(rng), anyInt64(rng), anyInt64(rng))
		}
	})
}

func TestPow10(t *testing.T) {
	want := int64(1)
	for n := 0; n <= 18; n++ {
		if got := money.Pow10(n); got != want {
			t.Errorf("10^%d = %d, want %d", n, got, want)
		}
		want *= 10
	}
	for _, n := range []int{-1, 19} {
		if !panics(func() { money.Pow10(n) }) {
			t.Errorf("10^%d must be refused", n)
		}
	}
}

func panics(f func()) (yes bool) {
	defer func() { yes = recover() != nil }()
	f()
	return false
}

func TestErrors(t *testing.T) {
	for err, code := range map[error]errs.Code{
		money.ErrSyntax: errs.CodeBadNumber, money.ErrPrecision: errs.CodeBadPrecision, money.ErrRange: errs.CodeNumberOutOfRange,
	} {
		wrapped := fmt.Errorf("price: %w", err)
		if errs.KindOf(wrapped) != errs.KindInvalidArgument || errs.CodeOf(wrapped) != code || !money.IsError(wrapped) {
			t.Errorf("%v: kind %v, code %v", err, errs.KindOf(wrapped), errs.CodeOf(wrapped))
		}
	}
	if errors.Is(money.ErrSyntax, money.ErrRange) || errors.Is(money.ErrPrecision, money.ErrRange) || money.IsError(errors.New("x")) {
		t.Error("the errors must be told apart")
	}
}

func BenchmarkMulDivFloor(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := money.MulDivFloor(6_000_000_000_000, 150_000_000, 100_000_000); err != nil {
			b.Fatal(err)
		}
	}
}

func Example() {
	price, _ := money.Parse("60000.00", 8) // quote units for one whole coin
	qty, _ := money.Parse("0.5", 8)        // base units

	turnover, _ := money.MulDivFloor(price, qty, money.Pow10(8))
	fee, _ := money.MulDivFloor(turnover, 1000, 1_000_000) // 1000 ppm = 0.1 %
	fmt.Println(money.Format(turnover, 8), money.Format(fee, 8))
	// Output: 30000.00000000 30.00000000
}

func ExampleParse() {
	units, _ := money.Parse("1.50", 8)
	_, tooFine := money.Parse("0.001", 2)
	_, negative := money.Parse("-1", 2)
	fmt.Println(units, tooFine, negative)
	// Output: 150000000 BAD_PRECISION: too many decimals BAD_NUMBER: not a decimal number
}
