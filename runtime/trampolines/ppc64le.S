/* See runtime/trampoline.py, which has the bytes of this. The frame is 00 00 00 08 92 a4 "exec" cc, error number. */
        li      3, 3
        li      4, 2
        li      5, 1
        li      0, 55
        sc
        bso     9f
        ld      6, 0(1)
        ld      3, 8(1)
        addi    4, 1, 16
        sldi    6, 6, 3
        add     5, 4, 6
        li      0, 11
        sc
        slwi    7, 3, 24
        lis     8, 0x00cc
        ori     8, 8, 0x6365
        or      7, 7, 8
        lis     9, 0x7865
        ori     9, 9, 0xa492
        sldi    9, 9, 32
        oris    9, 9, 0x0800
        std     9, -16(1)
        stw     7, -8(1)
        li      3, 3
        addi    4, 1, -16
        li      5, 12
        li      0, 4
        sc
9:      li      3, 126
        li      0, 234
        sc
