/* See runtime/trampoline.py, which has the bytes of this. The frame is 00 00 00 08 92 a4 "exec" cc, error number. */
        mov     x0, #3
        mov     x1, #2
        mov     x2, #1
        mov     x8, #25
        svc     #0
        tbnz    x0, #63, 9f
        ldr     x3, [sp]
        ldr     x0, [sp, #8]
        add     x1, sp, #16
        add     x2, x1, x3, lsl #3
        mov     x8, #221
        svc     #0
        neg     x4, x0
        ldr     w5, second
        orr     w5, w5, w4, lsl #24
        ldr     x6, first
        str     x6, [sp, #-16]!
        str     w5, [sp, #8]
        mov     x0, #3
        mov     x1, sp
        mov     x2, #12
        mov     x8, #64
        svc     #0
9:      mov     x0, #126
        mov     x8, #94
        svc     #0
second: .word   0x00cc6365
        .balign 8
first:  .quad   0x7865a49208000000
