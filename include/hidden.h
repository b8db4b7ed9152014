/* Included before everything else: extern declarations are hidden too, so no GOT is ever needed.
 * (-fvisibility=hidden covers definitions only.) */
#pragma GCC visibility push(hidden)
