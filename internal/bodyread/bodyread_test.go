package bodyread_test

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go/internal/bodyread"
)

var later = time.Now().Add(time.Hour)

// numbers is a text of which no part is like another.
var numbers = sync.OnceValue(func() string {
	var b []byte
	for len(b) < 2<<20 {
		b = append(strconv.AppendInt(b, int64(len(b)), 10), ' ')
	}
	return string(b)
})

func text(size int) string { return numbers()[:size] }

func TestRead_readsBodiesOfEverySize(t *testing.T) {
	budget := bodyread.NewBudget(1 << 30)
	reader := bodyread.NewReader(200<<20, budget)
	for _, size := range []int{0, 1, 2047, 2048, 2049, 4095, 4096, 4097, 100_000, 1 << 20, 1<<20 + 1} {
		want := text(size)
		for name, source := range map[string]io.Reader{
			"as it comes":     strings.NewReader(want),
			"data with EOF":   iotest.DataErrReader(strings.NewReader(want)),
			"in halves":       iotest.HalfReader(strings.NewReader(want)),
			"nothing at time": &stutterer{r: strings.NewReader(want)},
		} {
			body, err := reader.Read(source, -1, later)
			require.NoError(t, err, "%d %s", size, name)
			require.Equal(t, want, string(body.Bytes()), "%d %s", size, name)
			require.GreaterOrEqual(t, budget.Used(), int64(size))
			most := 2 * size
			if size > 64<<10 {
				most = 4 * size // the collector's share is in it
			}
			require.LessOrEqual(t, budget.Used(), int64(max(most, 2048)))
			body.Release()
			require.Zero(t, budget.Used())
		}
	}
}

// stutterer gives nothing, without an error, every other time.
type stutterer struct {
	r     io.Reader
	quiet bool
}

func (s *stutterer) Read(p []byte) (int, error) {
	s.quiet = !s.quiet
	if s.quiet {
		return 0, nil
	}
	return s.r.Read(p)
}

func TestRead_keepsToTheLimit(t *testing.T) {
	for _, limit := range []int{1, 100, 2047, 2048, 2049, 5000, 1 << 16} {
		budget := bodyread.NewBudget(1 << 30)
		reader := bodyread.NewReader(int64(limit), budget)
		body, err := reader.Read(strings.NewReader(text(limit)), int64(limit), later)
		require.NoError(t, err, limit)
		assert.Len(t, body.Bytes(), limit)
		body.Release()

		for _, claimed := range []int64{-1, 0, int64(limit)} { // what is claimed is not believed
			body, err = reader.Read(strings.NewReader(text(limit+1)), claimed, later)
			require.ErrorIs(t, err, bodyread.ErrTooLarge, limit)
			assert.Nil(t, body)
		}
		assert.Zero(t, budget.Used())
	}
}

func TestRead_refusesALargeClaimUnread(t *testing.T) {
	budget := bodyread.NewBudget(1 << 20)
	reader := bodyread.NewReader(100, budget)
	source := strings.NewReader("x")
	_, err := reader.Read(source, 101, later)
	require.ErrorIs(t, err, bodyread.ErrTooLarge)
	assert.Equal(t, 1, source.Len())
	assert.Zero(t, budget.Used())
}

func TestRead_holdsWhatArrivedAndNotWhatIsClaimed(t *testing.T) {
	budget := bodyread.NewBudget(1 << 30)
	reader := bodyread.NewReader(1<<20, budget)
	var held []int64
	source := io.MultiReader(strings.NewReader("start"), readerFunc(func([]byte) (int, error) {
		held = append(held, budget.Used())
		return 0, io.EOF
	}))
	body, err := reader.Read(source, 1<<20, later)
	require.NoError(t, err)
	assert.Equal(t, []int64{2048}, held)
	body.Release()
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func TestRead_isBoundByTheBudget(t *testing.T) {
	budget := bodyread.NewBudget(10_000)
	reader := bodyread.NewReader(1<<20, budget)
	var bodies []*bodyread.Body
	for range 4 {
		body, err := reader.Read(strings.NewReader("small"), -1, later)
		require.NoError(t, err)
		bodies = append(bodies, body)
	}
	assert.EqualValues(t, 4*2048, budget.Used())
	_, err := reader.Read(strings.NewReader("one more"), -1, later)
	require.ErrorIs(t, err, bodyread.ErrOverBudget)
	assert.EqualValues(t, 4*2048, budget.Used(), "a refused one takes nothing")

	bodies[0].Release()
	body, err := reader.Read(strings.NewReader("one more"), -1, later)
	require.NoError(t, err)
	body.Release()
	_, err = reader.Read(strings.NewReader(text(4000)), -1, later)
	require.ErrorIs(t, err, bodyread.ErrOverBudget, "growing needs more")
	for _, body := range bodies[1:] {
		body.Release()
	}
	assert.Zero(t, budget.Used())
	body, err = reader.Read(strings.NewReader(text(4000)), -1, later)
	require.NoError(t, err)
	body.Release()
}

func TestRead_looksAtTheDeadlineBetweenReads(t *testing.T) {
	budget := bodyread.NewBudget(1 << 20)
	reader := bodyread.NewReader(1<<20, budget)
	over := time.Now().Add(-time.Second)
	_, err := reader.Read(iotest.OneByteReader(strings.NewReader("body")), -1, over)
	require.ErrorIs(t, err, bodyread.ErrTooSlow)
	assert.Zero(t, budget.Used())

	body, err := reader.Read(iotest.DataErrReader(strings.NewReader("body")), -1, over)
	require.NoError(t, err, "what is there is there")
	assert.Equal(t, "body", string(body.Bytes()))
	body.Release()

	// One who never says anything, nor ends.
	_, err = reader.Read(readerFunc(func([]byte) (int, error) { return 0, nil }), -1, time.Now().Add(10*time.Millisecond))
	require.ErrorIs(t, err, bodyread.ErrTooSlow)
}

func TestRead_reportsTheSourcesError(t *testing.T) {
	budget := bodyread.NewBudget(1 << 20)
	reader := bodyread.NewReader(1<<20, budget)
	for _, want := range []error{errors.New("reset"), io.ErrUnexpectedEOF} {
		body, err := reader.Read(io.MultiReader(strings.NewReader(text(3000)), iotest.ErrReader(want)), -1, later)
		require.ErrorIs(t, err, want)
		assert.Nil(t, body)
		assert.Zero(t, budget.Used())
	}
}

func TestRead_givesBackWhatItHoldsWhenTheSourcePanics(t *testing.T) {
	budget := bodyread.NewBudget(1 << 20)
	reader := bodyread.NewReader(1<<20, budget)
	assert.Panics(t, func() {
		_, _ = reader.Read(io.MultiReader(strings.NewReader(text(3000)), readerFunc(func([]byte) (int, error) { panic("boom") })), -1, later)
	})
	assert.Zero(t, budget.Used())
}

func TestBody_detachGivesACopyOfItsOwn(t *testing.T) {
	budget := bodyread.NewBudget(1 << 20)
	reader := bodyread.NewReader(1<<20, budget)
	want := text(3000)
	body, err := reader.Read(strings.NewReader(want), -1, later)
	require.NoError(t, err)
	assert.EqualValues(t, 4096, budget.Used())
	own := body.Detach()
	assert.EqualValues(t, 3000, budget.Used(), "the copy counts, the buffer does not")
	for range 10 { // the buffer is used again meanwhile
		other, err := reader.Read(strings.NewReader(strings.Repeat("y", 3000)), -1, later)
		require.NoError(t, err)
		other.Release()
	}
	assert.Equal(t, want, string(own))
	body.Release()
	body.Release()
	assert.Zero(t, budget.Used(), "given back once")
}

func TestBody_releaseTwiceGivesBackOnce(t *testing.T) {
	budget := bodyread.NewBudget(1 << 20)
	reader := bodyread.NewReader(1<<20, budget)
	body, err := reader.Read(strings.NewReader("x"), -1, later)
	require.NoError(t, err)
	other, err := reader.Read(strings.NewReader("y"), -1, later)
	require.NoError(t, err)
	body.Release()
	body.Release()
	assert.EqualValues(t, 2048, budget.Used())
	assert.Equal(t, "y", string(other.Bytes()))
	other.Release()
	assert.Zero(t, budget.Used())
}

func TestRead_takesBodiesTooLargeForThePools(t *testing.T) {
	const size = 5 << 20
	budget := bodyread.NewBudget(1 << 30)
	reader := bodyread.NewReader(size, budget)
	body, err := reader.Read(bytes.NewReader(make([]byte, size)), -1, later)
	require.NoError(t, err)
	assert.Len(t, body.Bytes(), size)
	body.Release()
	assert.Zero(t, budget.Used())
}

func TestRead_neverMixesBodies(t *testing.T) {
	budget := bodyread.NewBudget(1 << 30)
	reader := bodyread.NewReader(1<<20, budget)
	var group sync.WaitGroup
	for i := range 50 {
		group.Go(func() {
			want := bytes.Repeat([]byte{byte(i)}, 1000*(i+1))
			for range 20 {
				body, err := reader.Read(bytes.NewReader(want), -1, later)
				if !assert.NoError(t, err) {
					return
				}
				assert.True(t, bytes.Equal(want, body.Bytes()))
				if i%2 == 0 {
					assert.True(t, bytes.Equal(want, body.Detach()))
				}
				body.Release()
			}
		})
	}
	group.Wait()
	assert.Zero(t, budget.Used())
}

func TestRead_keepsRoomForSmallBodies(t *testing.T) {
	budget := bodyread.NewBudget(1 << 20)
	reader := bodyread.NewReader(1<<20, budget)
	deadline := time.Now().Add(time.Minute)
	var large []*bodyread.Body
	for {
		body, err := reader.Read(strings.NewReader(strings.Repeat("x", 100<<10)), -1, deadline)
		if err != nil {
			require.ErrorIs(t, err, bodyread.ErrOverBudget)
			break
		}
		large = append(large, body)
	}
	assert.LessOrEqual(t, budget.Used(), int64(768<<10), "large bodies take three quarters at most")
	small, err := reader.Read(strings.NewReader(strings.Repeat("x", 60<<10)), -1, deadline)
	require.NoError(t, err)
	for _, body := range append(large, small) {
		body.Release()
	}
	assert.Zero(t, budget.Used())
}

func TestRead_aBodyThatFillsItsBufferDoesNotGrowIt(t *testing.T) {
	const limit = 2 << 20
	for _, c := range []struct {
		size, claimed int
		held          int64
	}{
		{2 << 10, -1, 2 << 10},
		{64 << 10, -1, 64 << 10},
		{1 << 20, -1, 2 << 20}, // twice, for the collector
		{1 << 20, 1 << 20, 2 << 20},
		{600 << 10, 600 << 10, 2 * 600 << 10}, // as large as it is said to be
		{600 << 10, -1, 2 << 20},
		{600 << 10, 1, 2 << 20},     // a claim that proves wrong
		{600 << 10, limit, 2 << 20}, // so does this one
		{64<<10 + 1, 64<<10 + 1, 2 * (64<<10 + 1)},
		{limit, -1, 2 * limit},
	} {
		budget := bodyread.NewBudget(1 << 30)
		reader := bodyread.NewReader(limit, budget)
		want := text(c.size)
		body, err := reader.Read(strings.NewReader(want), int64(c.claimed), later)
		require.NoError(t, err)
		assert.Equal(t, c.held, budget.Used(), "%d, said to be %d", c.size, c.claimed)
		require.Equal(t, want, string(body.Bytes()))
		own := body.Detach()
		body.Release()
		assert.Zero(t, budget.Used())
		require.Equal(t, want, string(own))
	}
}

func TestRead_noBufferIsLargerThanABodyMayBe(t *testing.T) {
	const limit = 600 << 10
	budget := bodyread.NewBudget(1 << 30)
	reader := bodyread.NewReader(limit, budget)
	body, err := reader.Read(strings.NewReader(text(limit)), -1, later)
	require.NoError(t, err)
	assert.EqualValues(t, 2*limit, budget.Used())
	body.Release()

	_, err = reader.Read(strings.NewReader(text(limit+1)), -1, later)
	require.ErrorIs(t, err, bodyread.ErrTooLarge)
	assert.Zero(t, budget.Used())
}

func TestRead_fourTimesTheLimitIsABudgetForOneOfTheLargest(t *testing.T) {
	for _, limit := range []int64{64<<10 + 1, 100_000, 600 << 10, 1 << 20} {
		for _, claimed := range []int64{-1, limit} {
			budget := bodyread.NewBudget(4 * limit)
			body, err := bodyread.NewReader(limit, budget).Read(strings.NewReader(text(int(limit))), claimed, later)
			require.NoError(t, err, "%d, said to be %d", limit, claimed)
			body.Release()
			assert.Zero(t, budget.Used())
		}
	}
}

func TestBody_detachHandsALargeOneOver(t *testing.T) {
	budget := bodyread.NewBudget(1 << 30)
	reader := bodyread.NewReader(1<<20, budget)
	want := text(300 << 10)
	body, err := reader.Read(strings.NewReader(want), int64(len(want)), later)
	require.NoError(t, err)
	before, held := &body.Bytes()[0], budget.Used()
	own := body.Detach()
	assert.Same(t, before, &own[0], "it is not copied")
	assert.Equal(t, len(own), cap(own))
	assert.Equal(t, held, budget.Used(), "it counts until Release")
	body.Release()
	assert.Zero(t, budget.Used())
	for range 10 { // nobody else gets its buffer
		other, err := reader.Read(strings.NewReader(strings.Repeat("y", 300<<10)), -1, later)
		require.NoError(t, err)
		other.Release()
	}
	assert.Equal(t, want, string(own))

	// One whose length was not given has a buffer that an event should not keep.
	body, err = reader.Read(strings.NewReader(want), -1, later)
	require.NoError(t, err)
	own = body.Detach()
	assert.Less(t, cap(own), 320<<10)
	assert.Equal(t, want, string(own))
	body.Release()
	assert.Zero(t, budget.Used())
}

func TestBudget_aLargeOneThatIsRefusedTakesNothingFromSmallOnes(t *testing.T) {
	budget := bodyread.NewBudget(4 << 20) // 3 MiB for large ones
	reader := bodyread.NewReader(1<<20, budget)
	var held []*bodyread.Body
	for range 3 { // 512 KiB each, which count 1 MiB
		body, err := reader.Read(strings.NewReader(text(512<<10)), 512<<10, later)
		require.NoError(t, err)
		held = append(held, body)
	}
	large := text(1 << 20)
	var senders sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		senders.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				_, err := reader.Read(strings.NewReader(large), 1<<20, later)
				assert.ErrorIs(t, err, bodyread.ErrOverBudget)
			}
		})
	}
	for range 2000 {
		body, err := reader.Read(strings.NewReader("small"), 5, later)
		if assert.NoError(t, err) {
			body.Release()
		}
	}
	close(stop)
	senders.Wait()
	for _, body := range held {
		body.Release()
	}
	assert.Zero(t, budget.Used())
}
