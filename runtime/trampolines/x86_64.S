/* See runtime/trampoline.py, which has the bytes of this. The frame is 00 00 00 08 92 a4 "exec" cc, error number. */
        mov     $3, %edi
        mov     $2, %esi
        mov     $1, %edx
        mov     $72, %eax
        syscall
        test    %eax, %eax
        js      9f
        mov     (%rsp), %rax
        mov     8(%rsp), %rdi
        lea     16(%rsp), %rsi
        lea     16(%rsp,%rax,8), %rdx
        mov     $59, %eax
        syscall
        neg     %eax
        shl     $24, %eax
        or      $0x00cc6365, %eax
        movabs  $0x7865a49208000000, %rcx
        mov     %rcx, -16(%rsp)
        mov     %eax, -8(%rsp)
        mov     $3, %edi
        lea     -16(%rsp), %rsi
        mov     $12, %edx
        mov     $1, %eax
        syscall
9:      mov     $126, %edi
        mov     $231, %eax
        syscall
