package mlflowsso.logins;

import java.util.HashMap;
import java.util.Map;

/** How many logins wait. Each holds a thread and a connection of the server's, of which others need some. */
final class Queue {
    private static final int OF_ONE_PERSON = 10;
    private static final int OF_ALL = 15;

    private final Map<String, Integer> waiting = new HashMap<>();
    private int all;

    /** Whether there is a place for one more. */
    synchronized boolean enter(String person) {
        int mine = waiting.getOrDefault(person, 0);
        if (all >= OF_ALL || mine >= OF_ONE_PERSON) {
            return false;
        }
        waiting.put(person, mine + 1);
        all++;
        return true;
    }

    synchronized void leave(String person) {
        waiting.computeIfPresent(person, (who, many) -> many > 1 ? many - 1 : null);
        all--;
    }
}
