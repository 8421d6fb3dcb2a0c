package riverevents_test

const roleVariable = "RIVEREVENTS_TEST_ROLE"

func play(string) int { return 2 }
