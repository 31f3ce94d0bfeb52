package script

import (
	"fmt"
	"strings"
	"testing"

	"github.com/nightshift/nightshift/shared/fault"
	"github.com/nightshift/nightshift/shared/redisdb"
)

func TestCompositionsAreCachedAndBounded(t *testing.T) {
	t.Parallel()
	c := NewTemplate("return serve(1, 0, check)")
	one, other := redisdb.Step{Check: "return 1"}, redisdb.Step{Apply: "return 2"}
	a, err := c.With([]redisdb.Step{one, other})
	if err != nil {
		t.Fatal(err)
	}
	if again, _ := c.With([]redisdb.Step{{Check: "return 1", Args: []any{"y"}}, other}); again != a {
		t.Error("other operands make another script")
	}
	if turned, _ := c.With([]redisdb.Step{other, one}); turned == a {
		t.Error("another order is the same script")
	}
	for i := range 2 * maxCompositions {
		_, err = c.With([]redisdb.Step{{Check: fmt.Sprintf("return 1 -- %d", i)}})
	}
	if !fault.Is(err, fault.Internal) || !strings.Contains(err.Error(), "constant") {
		t.Errorf("values in the source: %v; want an error that says what to do", err)
	}
	if _, err := c.With([]redisdb.Step{one, other}); err != nil {
		t.Errorf("a known combination: %v", err)
	}
}

func TestHeadsAndTailsStandOnce(t *testing.T) {
	t.Parallel()
	one, two := "local one = 1", "local two = 2"
	made, err := NewTemplate("return serve(1, 0, check)").With([]redisdb.Step{
		{Head: one, Apply: "a()", Tail: "one()"}, {Check: "return 0"}, {Head: two, Apply: "b()", Tail: "two()"}, {Head: one, Apply: "c()", Tail: "one()"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, word := range []string{one, two, "one()", "two()"} {
		if got := strings.Count(made.source, word); got != 1 {
			t.Errorf("%q stands %d times in the script, want once:\n%s", word, got, made.source)
		}
	}
	if first, last := strings.Index(made.source, one), strings.Index(made.source, "one()"); first > strings.Index(made.source, "a()") || last < strings.Index(made.source, "c()") {
		t.Errorf("heads do not stand before the steps, or tails not behind them:\n%s", made.source)
	}
}
