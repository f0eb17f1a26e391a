TYPE_CHECKING = False
def given_here(): return ()
