package ittybit_test

import (
	"encoding/json"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ittybit/ittybit-go"
)

func TestNSFW_readsTheWebhooksShape(t *testing.T) {
	got, err := clientResults(`{"is_nsfw":true,"confidence":0.97}`).NSFW()
	require.NoError(t, err)
	assert.Equal(t, &ittybit.NSFWResults{IsNSFW: true, Confidence: new(0.97)}, got)

	got, err = clientResults(`{"is_nsfw":false}`).NSFW()
	require.NoError(t, err)
	assert.Equal(t, &ittybit.NSFWResults{}, got, "what a shape leaves out is nil")
}

func TestNSFW_readsTheFilesShape(t *testing.T) {
	got, err := clientResults(`{"id":"file_1","object":"intelligence","kind":"nsfw","detected":true,"nudity":0.82,"sexual":0.24,"violence":0.64,"gore":"0.04","confidence":"0.82"}`).NSFW()
	require.NoError(t, err)
	assert.Equal(t, &ittybit.NSFWResults{
		IsNSFW: true, Confidence: new(0.82),
		Nudity: &ittybit.NSFWSignal{Score: new(0.82)}, Sexual: &ittybit.NSFWSignal{Score: new(0.24)},
		Violence: &ittybit.NSFWSignal{Score: new(0.64)}, Gore: &ittybit.NSFWSignal{Score: new(0.04)},
	}, got)
}

func TestNSFW_readsTheLaterShape(t *testing.T) {
	got, err := clientResults(`{"nudity":false,"sexual":false,"violence":true,"gore":false,"categories":["violence"],
		"severity":{"violence":"moderate","gore":"none"},"description":"A fight.","timeline":[{"start":1.5,"end":2,"category":"violence","severity":"moderate"}]}`).NSFW()
	require.NoError(t, err)
	assert.Equal(t, &ittybit.NSFWResults{
		IsNSFW: true,
		Nudity: &ittybit.NSFWSignal{Detected: new(false)}, Sexual: &ittybit.NSFWSignal{Detected: new(false)},
		Violence: &ittybit.NSFWSignal{Detected: new(true)}, Gore: &ittybit.NSFWSignal{Detected: new(false)},
		Categories: []string{"violence"}, Severity: map[string]string{"violence": "moderate", "gore": "none"}, Description: "A fight.",
		Timeline: []ittybit.NSFWSegment{{Start: 1.5, End: 2, Category: "violence", Severity: "moderate"}},
	}, got)
}

func TestNSFW_verdictOfTheLaterShapeIsWhetherAnythingWasFound(t *testing.T) {
	for results, want := range map[string]bool{
		`{"nudity":false,"gore":false}`:                   false,
		`{"nudity":false,"gore":true}`:                    true,
		`{"categories":[]}`:                               false,
		`{"categories":["gore"]}`:                         true,
		`{"severity":{"gore":"none","sexual":"none"}}`:    false,
		`{"severity":{"gore":"none","sexual":"mild"}}`:    true,
		`{"severity":{"gore":"new word"}}`:                true,
		`{"nudity":false,"categories":["gore"]}`:          true,
		`{"is_nsfw":false,"nudity":true,"detected":true}`: false, // a verdict of its own goes first
		`{"detected":false,"categories":["gore"]}`:        false,
		`{"is_nsfw":null,"detected":true}`:                true,
	} {
		got, err := clientResults(results).NSFW()
		require.NoError(t, err, results)
		assert.Equal(t, want, got.IsNSFW, results)
	}
}

func TestNSFW_theSeverityNoneIsNoneInAnyCase(t *testing.T) {
	for _, none := range []string{"none", "None", "NONE", " none\n"} {
		got, err := clientResults(`{"severity":{"gore":` + strconv.Quote(none) + `}}`).NSFW()
		require.NoError(t, err, none)
		assert.False(t, got.IsNSFW, none)
		assert.Equal(t, none, got.Severity["gore"], "as it was sent")
	}
	for _, some := range []string{"mild", "None of your business", "nonе"} { // the last with a Cyrillic letter
		got, err := clientResults(`{"severity":{"sexual":"None","gore":` + strconv.Quote(some) + `}}`).NSFW()
		require.NoError(t, err, some)
		assert.True(t, got.IsNSFW, some)
	}
}

// Moderation fails closed: what can't be read is not taken for harmless.
func TestNSFW_aVerdictThatCanNotBeReadIsAnError(t *testing.T) {
	for results, field := range map[string]string{
		`{"categories":""}`:                               "categories",
		`{"categories":" "}`:                              "categories",
		`{"categories":[""]}`:                             "categories",
		`{"categories":[null]}`:                           "categories",
		`{"categories":[null,null],"nudity":false}`:       "categories",
		`{"categories":["",null],"gore":false}`:           "categories",
		`{"severity":{"gore":""}}`:                        "severity.gore",
		`{"severity":{"gore":" ","sexual":"none"}}`:       "severity.gore",
		`{"nudity":"","gore":false}`:                      "nudity",
		`{"nudity":false,"gore":""}`:                      "gore",
		`{"nudity":"1_0","gore":false}`:                   "nudity",
		`{"categories":[],"severity":{"gore":""}}`:        "severity.gore",
		`{"is_nsfw":"","detected":false,"nudity":false}`:  "is_nsfw",
		`{"is_nsfw":"false"}`:                             "is_nsfw",
		`{"is_nsfw":0}`:                                   "is_nsfw",
		`{"detected":"no"}`:                               "detected",
		`{"categories":{}}`:                               "categories",
		`{"categories":0}`:                                "categories",
		`{"categories":false}`:                            "categories",
		`{"severity":"none"}`:                             "severity",
		`{"severity":[]}`:                                 "severity",
		`{"severity":{"gore":false}}`:                     "severity.gore",
		`{"nudity":{"detected":true},"gore":false}`:       "nudity",
		`{"violence":[],"categories":[],"nudity":false}`:  "violence",
		`{"categories":[["gore"]]}`:                       "categories[0]",
		`{"output":"x","categories":"\t","sexual":false}`: "categories",
	} {
		got, err := clientResults(results).NSFW()
		require.ErrorContains(t, err, `ittybit: results of task_1: field "`+field+`"`, results)
		require.NotErrorIs(t, err, ittybit.ErrNoResults, results)
		assert.Nil(t, got, results)
	}
}

func TestNSFW_whatCannotBeReadDoesNotHideAVerdictNorWhatWasFound(t *testing.T) {
	for results, want := range map[string]bool{
		`{"is_nsfw":true,"categories":""}`:                      true,
		`{"is_nsfw":false,"categories":"","severity":{"a":""}}`: false,
		`{"detected":true,"categories":[null]}`:                 true,
		`{"categories":["gore",null]}`:                          true,
		`{"categories":["gore",""]}`:                            true,
		`{"nudity":true,"categories":""}`:                       true,
		`{"severity":{"gore":"","sexual":"mild"}}`:              true,
	} {
		got, err := clientResults(results).NSFW()
		require.NoError(t, err, results)
		assert.Equal(t, want, got.IsNSFW, results)
	}
}

func TestNSFW_aScoreIsNoVerdictBesideOthersEither(t *testing.T) {
	for _, results := range []string{`{"nudity":0.99,"gore":false}`, `{"nudity":0.99,"severity":{"gore":"none"}}`} {
		got, err := clientResults(results).NSFW()
		require.ErrorIs(t, err, ittybit.ErrNoResults, results)
		assert.Nil(t, got, results)
	}
	for results, want := range map[string]bool{
		`{"nudity":0.01,"gore":true}`:           true,
		`{"nudity":0.99,"categories":[]}`:       false, // which speaks of all categories
		`{"nudity":0.01,"categories":["gore"]}`: true,
	} {
		got, err := clientResults(results).NSFW()
		require.NoError(t, err, results)
		assert.Equal(t, want, got.IsNSFW, results)
	}
}

func TestNSFW_noVerdictIsNeverAVerdict(t *testing.T) {
	for _, results := range []string{
		``, `null`, `{}`, `{"confidence":0.97}`, `{"nudity":0.01,"gore":0.99}`, `{"is_nsfw":null}`, `{"severity":{}}`, `{"categories":null}`,
		`{"nudity":null}`, `{"description":"fine"}`, `{"passed":[],"failed":[],"continue":true}`,
	} {
		got, err := clientResults(results).NSFW()
		require.ErrorIs(t, err, ittybit.ErrNoResults, results)
		require.ErrorContains(t, err, "task_1", results)
		assert.Nil(t, got, results)
	}
}

func TestNSFW_resultsOfAnotherFormAreAnError(t *testing.T) {
	for _, results := range []string{`[]`, `"x"`, `{"is_nsfw":"yes"}`, `{"is_nsfw":true,"confidence":"high"}`, `{"is_nsfw":true,"nudity":"a lot"}`, `{"is_nsfw":true,"gore":{}}`} {
		got, err := clientResults(results).NSFW()
		require.ErrorContains(t, err, "ittybit: results of task_1: ", results)
		require.NotErrorIs(t, err, ittybit.ErrNoResults, results)
		assert.Nil(t, got, results)
	}
}

func TestNSFWResults_areWrittenAsTheyAreRead(t *testing.T) {
	for _, results := range []string{
		`{"is_nsfw":true,"confidence":0.97}`,
		`{"is_nsfw":true,"nudity":0.82,"sexual":0.24,"violence":0,"gore":0.04,"confidence":0.82}`,
		`{"is_nsfw":true,"nudity":true,"sexual":false,"categories":["nudity"],"severity":{"nudity":"mild"},
			"description":"x","timeline":[{"start":0,"end":1.5,"category":"nudity","severity":"mild"}]}`,
	} {
		nsfw, err := clientResults(results).NSFW()
		require.NoError(t, err)
		written, err := json.Marshal(nsfw)
		require.NoError(t, err)
		assert.JSONEq(t, results, string(written))
	}
}

func TestNSFW_readsWhatLooksABitDifferent(t *testing.T) {
	got, err := clientResults(`{"detected":true,"confidence":"0.82","nudity":null,"gore":"0.04","categories":"gore","severity":{"gore":"mild","sexual":null},
		"description":null,"timeline":[null,{"start":"1.5","end":null}],"new":[1]}`).NSFW()
	require.NoError(t, err)
	assert.Equal(t, &ittybit.NSFWResults{
		IsNSFW: true, Confidence: new(0.82), Gore: &ittybit.NSFWSignal{Score: new(0.04)},
		Categories: []string{"gore"}, Severity: map[string]string{"gore": "mild"}, Timeline: []ittybit.NSFWSegment{{Start: 1.5}},
	}, got)

	// A null among the severities is nothing found.
	_, err = clientResults(`{"severity":{"gore":null}}`).NSFW()
	require.ErrorIs(t, err, ittybit.ErrNoResults)
}

func TestNSFWSignal_nullIsNoVerdict(t *testing.T) {
	signal := ittybit.NSFWSignal{Detected: new(true)}
	require.NoError(t, signal.UnmarshalJSON([]byte(`null`)))
	assert.Equal(t, ittybit.NSFWSignal{}, signal)
}
