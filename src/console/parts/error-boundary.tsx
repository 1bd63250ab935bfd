/** A page that fails takes nothing else with it: the rest stays, and says what happened. */
import { Button } from '@mantine/core';
import { Component, type ReactNode } from 'react';
import { Problem } from './problem.tsx';

interface Props {
  readonly children: ReactNode;
  /** Another one begins anew. */
  readonly place: string;
}

interface State {
  readonly error: unknown;
  readonly place: string;
}

export class ErrorBoundary extends Component<Props, State> {
  override state: State = { error: undefined, place: this.props.place };

  static getDerivedStateFromError(error: unknown): Partial<State> {
    return { error };
  }

  static getDerivedStateFromProps({ place }: Props, state: State): Partial<State> | null {
    return place === state.place ? null : { place, error: undefined };
  }

  override render(): ReactNode {
    const { error } = this.state;
    if (error === undefined) return this.props.children;
    return (
      <div className="u-page">
        <Problem error={error} />
        <div>
          <Button variant="default" onClick={() => location.reload()}>
            Load again
          </Button>
        </div>
      </div>
    );
  }
}
