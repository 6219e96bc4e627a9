package mlflowsso.logins;

import jakarta.ws.rs.core.UriInfo;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import org.keycloak.common.ClientConnection;
import org.keycloak.common.util.Time;
import org.keycloak.models.KeycloakSession;
import org.keycloak.models.RealmModel;
import org.keycloak.models.UserLoginFailureModel;
import org.keycloak.models.UserModel;
import org.keycloak.models.utils.KeycloakModelUtils;
import org.keycloak.services.managers.BruteForceProtector;

/**
 * Keycloak's own protector, with a queue before it.
 *
 * <p>Keycloak judges one password of a person at a time, and calls whoever comes meanwhile disabled: of several right
 * passwords at once it lets in one. Here they wait for each other. Each is judged when the one before it was judged and
 * counted, so guessing is as slow as it was.
 */
final class QueuedLogins implements BruteForceProtector {
    private static final long PATIENCE = TimeUnit.SECONDS.toNanos(15);
    private static final long PAUSE_MILLISECONDS = 20;

    private final BruteForceProtector own;
    private final Queue queue;

    QueuedLogins(BruteForceProtector own, Queue queue) {
        this.own = own;
        this.queue = queue;
    }

    @Override
    public boolean isTemporarilyDisabled(KeycloakSession session, RealmModel realm, UserModel user) {
        if (!own.isTemporarilyDisabled(session, realm, user)) {
            return false;
        }
        if (!queue.enter(user.getId())) {
            return true;
        }
        try {
            return isLockedOut(session, realm, user) || !hasItsTurn(session, realm, user);
        } finally {
            queue.leave(user.getId());
        }
    }

    private boolean hasItsTurn(KeycloakSession session, RealmModel realm, UserModel user) {
        long end = System.nanoTime() + PATIENCE;
        while (System.nanoTime() < end) {
            try {
                Thread.sleep(PAUSE_MILLISECONDS);
            } catch (InterruptedException stopped) {
                Thread.currentThread().interrupt();
                return false;
            }
            boolean free = !own.isTemporarilyDisabled(session, realm, user);
            // This session may remember what was counted before it waited.
            if (isLockedOut(session, realm, user)) {
                return false;
            }
            if (free) {
                return true;
            }
        }
        return false;
    }

    /** Whether there were so many wrong passwords that none is judged for a while, as everybody knows by now. */
    private static boolean isLockedOut(KeycloakSession session, RealmModel realm, UserModel user) {
        String realmId = realm.getId();
        String userId = user.getId();
        return KeycloakModelUtils.runJobInTransactionWithResult(session.getKeycloakSessionFactory(), fresh -> {
            RealmModel same = fresh.realms().getRealm(realmId);
            fresh.getContext().setRealm(same);
            UserLoginFailureModel failures = fresh.loginFailures().getUserLoginFailure(same, userId);
            return failures != null && Time.currentTimeMillis() / 1000 < failures.getFailedLoginNotBefore();
        });
    }

    @Override
    public boolean isPermanentlyLockedOut(KeycloakSession session, RealmModel realm, UserModel user) {
        return own.isPermanentlyLockedOut(session, realm, user);
    }

    @Override
    public void failedLogin(
            RealmModel realm, UserModel user, ClientConnection connection, UriInfo uri, Set<String> categories) {
        own.failedLogin(realm, user, connection, uri, categories);
    }

    @Override
    public void successfulLogin(
            RealmModel realm, UserModel user, ClientConnection connection, UriInfo uri, Set<String> categories) {
        own.successfulLogin(realm, user, connection, uri, categories);
    }

    @Override
    public void cleanUpPermanentLockout(KeycloakSession session, RealmModel realm, UserModel user) {
        own.cleanUpPermanentLockout(session, realm, user);
    }

    @Override
    public void close() {}
}
