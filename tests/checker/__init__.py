"""
The checker: publishers and subscribers that never give up, a server that is given reasons to, and a comparison in the
end of what was acknowledged with what each subscriber saw.
"""
