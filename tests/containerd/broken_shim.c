/* A shim that tells its version and then does not do its work. How is chosen when it is compiled:
 *   VERSION_FAILS  `-v` fails
 *   START_FAILS    `-v` is fine, every action ends with 3
 *   START_HANGS    `-v` is fine, every action waits for ever
 *   INFO_HANGS     the same for `-info`, which containerd 2.x asks when it starts
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
#ifdef VERSION_FAILS
    fprintf(stderr, "libsomething.so.7: cannot open shared object file\n");
    return 127;
#endif
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "-v") == 0) {
            printf("%s:\n  Runtime: broken\n  Version: 9.9.9\n  Revision: none\n", argv[0]);
            return 0;
        }
    }
#ifdef START_HANGS
    if (argc == 2 && strcmp(argv[1], "-info") == 0)
        return 0;
#endif
#if defined START_HANGS || defined INFO_HANGS
    for (;;)
        pause();
#else
    fprintf(stderr, "this shim always fails\n");
    return 3;
#endif
}
