package process

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

// Brand tells a child and its descendants from all other processes, whatever
// they do: it is the value of a resource limit, which is inherited, which any
// process may read, and which limits nothing here (it counts for real-time
// scheduling only). A child could lower it if nothing kept it from that; a
// filter of system calls does, see package jail.
type Brand uint64

// brandBit is set in every brand. No real limit is that high: it stands for
// 36,000 years.
const brandBit = 1 << 60

// NewBrand makes one that no other process has.
func NewBrand() Brand { return Brand(brandBit | rand.Uint64N(brandBit)) } // #nosec G404 -- whoever knows it can do nothing with it

func (b Brand) String() string { return fmt.Sprintf("%x", uint64(b)) }

// ParseBrand reads what String wrote.
func ParseBrand(text string) (Brand, bool) {
	value, err := strconv.ParseUint(text, 16, 64)
	return Brand(value), err == nil && value&^(brandBit-1) == brandBit
}
