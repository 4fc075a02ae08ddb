/* See runtime/trampoline.py, which has the bytes of this. The frame is 00 00 00 08 92 a4 "exec" cc, error number. */
        lghi    %r2, 3
        lghi    %r3, 2
        lghi    %r4, 1
        lghi    %r1, 55
        svc     0
        ltgr    %r2, %r2
        jl      9f
        lg      %r5, 0(%r15)
        lg      %r2, 8(%r15)
        la      %r3, 16(%r15)
        sllg    %r5, %r5, 3
        la      %r4, 0(%r5,%r3)
        lghi    %r1, 11
        svc     0
        lcgr    %r6, %r2
        aghi    %r15, -16
        llihf   %r7, 0x00000008
        oilf    %r7, 0x92a46578
        stg     %r7, 0(%r15)
        iilf    %r8, 0x6563cc00
        or      %r8, %r6
        st      %r8, 8(%r15)
        lghi    %r2, 3
        lgr     %r3, %r15
        lghi    %r4, 12
        lghi    %r1, 4
        svc     0
9:      lghi    %r2, 126
        lghi    %r1, 248
        svc     0
