/** The place in a recording that is looked at, which may move on by itself. */
import { useCallback, useEffect, useRef, useState } from 'react';

export interface Playing {
  /** Seconds of the guest's clock. */
  readonly at: number;
  readonly isPlaying: boolean;
  readonly speed: number;
  readonly go: (seconds: number) => void;
  /** At the end it begins again. */
  readonly toggle: () => void;
  readonly setSpeed: (speed: number) => void;
}

export function usePlaying(from: number, to: number): Playing {
  const [at, setAt] = useState(to);
  const [isPlaying, setPlaying] = useState(false);
  const [speed, setSpeed] = useState(1);
  const place = useRef(at);
  const go = useCallback(
    (seconds: number) => {
      place.current = Math.min(to, Math.max(from, seconds));
      setAt(place.current);
    },
    [from, to],
  );
  useEffect(() => {
    if (!isPlaying) return;
    let last: number | undefined;
    let next = 0;
    const move = (now: number) => {
      const passed = last === undefined ? 0 : ((now - last) / 1_000) * speed;
      last = now;
      go(place.current + passed);
      if (place.current >= to) setPlaying(false);
      else next = requestAnimationFrame(move);
    };
    next = requestAnimationFrame(move);
    return () => cancelAnimationFrame(next);
  }, [isPlaying, speed, to, go]);
  const toggle = () => {
    if (!isPlaying && place.current >= to) go(from);
    setPlaying(!isPlaying);
  };
  return { at, isPlaying, speed, go, toggle, setSpeed };
}
