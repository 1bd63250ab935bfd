import { ExternalLink } from 'lucide-react';
import { Link, useLocation } from 'wouter';
import { mayAct } from '../../api/roles.ts';
import { useCenter, useList, useSession } from '../live/hooks.ts';
import { navGroups } from '../pages/define-page.ts';
import { navOf } from '../pages/registry.ts';

export function Navigation({ onGo }: { readonly onGo: () => void }) {
  const { role } = useSession();
  const [location] = useLocation();
  const center = useCenter();
  const isHere = (path: string) =>
    path === '/' ? location === '/' : location === path || location.startsWith(`${path}/`);
  return (
    <nav className="u-nav" aria-label="Pages">
      {navGroups.map((group) => {
        const rows = navOf(group).filter(({ access }) => mayAct(role, access));
        if (rows.length === 0) return null;
        return (
          <div key={group} className="u-nav-group">
            <h2>{group}</h2>
            <ul>
              {rows.map(({ path, label, nav }) => {
                const Icon = nav!.icon;
                return (
                  <li key={path}>
                    <Link
                      href={path}
                      aria-current={isHere(path) ? 'page' : undefined}
                      onClick={onGo}
                    >
                      <Icon size={16} aria-hidden />
                      {label}
                      {path === '/alarms' && <OpenAlarms />}
                    </Link>
                  </li>
                );
              })}
            </ul>
          </div>
        );
      })}
      <div className="u-nav-foot">
        <a href="/api/reference" target="_blank" rel="noreferrer">
          API reference <ExternalLink size={12} aria-hidden />
        </a>
        <span>{center === undefined ? '' : `Umbra ${center.version}`}</span>
      </div>
    </nav>
  );
}

function OpenAlarms() {
  const open = useList('alarms').filter(({ acknowledged }) => acknowledged === null).length;
  return open === 0 ? null : <span className="u-count">{open}</span>;
}
