package intake_test

import (
	"testing"

	"github.com/nightshift/nightshift/gateway/internal/intake"
	"github.com/oklog/ulid/v2"
)

// Knowing an ID is the permission to look. So each has 80 bits that are new, and
// not the ones before plus a little, as IDs of one millisecond commonly have.
func TestIDsCannotBeGuessed(t *testing.T) {
	t.Parallel()
	const n = 4000
	var ones [80]int
	var last ulid.ULID
	together, grown := 0, 0
	for range n {
		text, err := intake.NewID()
		if err != nil {
			t.Fatal(err)
		}
		id := ulid.MustParse(text)
		if id.Time() == last.Time() {
			together++
			if id.Compare(last) > 0 {
				grown++
			}
		}
		last = id
		for i := range ones {
			ones[i] += int(id.Entropy()[i/8] >> (i % 8) & 1)
		}
	}
	for i, got := range ones {
		if got < n*2/5 || got > n*3/5 { // more than 12 standard deviations off
			t.Errorf("bit %d of the random part is set in %d of %d IDs", i, got, n)
		}
	}
	if together < 100 || grown < together/5 || grown > together*4/5 {
		t.Errorf("of %d IDs that follow another one of the same millisecond %d are greater, want about half", together, grown)
	}
}
