/* See runtime/trampoline.py, which has the bytes of this. The frame is 00 00 00 08 92 a4 "exec" cc, error number. */
        .option norvc
        li      a0, 3
        li      a1, 2
        li      a2, 1
        li      a7, 25
        ecall
        bltz    a0, 9f
        ld      t0, 0(sp)
        ld      a0, 8(sp)
        addi    a1, sp, 16
        slli    t0, t0, 3
        add     a2, a1, t0
        li      a7, 221
        ecall
        neg     t1, a0
        slli    t1, t1, 24
        li      t2, 0x00cc6365
        or      t1, t1, t2
        li      t3, 0x7865a49208000000
        sd      t3, -16(sp)
        sw      t1, -8(sp)
        li      a0, 3
        addi    a1, sp, -16
        li      a2, 12
        li      a7, 64
        ecall
9:      li      a0, 126
        li      a7, 94
        ecall
