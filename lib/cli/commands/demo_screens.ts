import type { EventRecord } from "../../audit/record.ts";
import { formatDemoAct, formatDemoRecord, formatDemoSummary } from "../demo_json.ts";
import { enterScreen, leaveScreen, renderFrame, renderSummary } from "../live_view.ts";
import type { ViewModel } from "../view_model.ts";
import { print, wantsColour } from "./screen.ts";

/** How the demo shows itself. */
export interface DemoScreen {
  act(atMs: number, title: string): void;
  record(atMs: number, operator: string, record: EventRecord): void;
  frame(model: ViewModel): void;
  /** Gives the terminal back; may be called again. */
  close(): void;
  /** After `close`. */
  summary(model: ViewModel): void;
}

/** For programs: a line for each thing that happens. */
export class JsonScreen implements DemoScreen {
  act(atMs: number, title: string): void {
    print(`${formatDemoAct(atMs, title)}\n`);
  }

  record(atMs: number, operator: string, record: EventRecord): void {
    print(`${formatDemoRecord(atMs, operator, record)}\n`);
  }

  frame(): void {}

  close(): void {}

  summary(model: ViewModel): void {
    print(`${formatDemoSummary(model)}\n`);
  }
}

/** For people: the whole cluster on one screen. */
export class LiveScreen implements DemoScreen {
  readonly #colour = wantsColour(Deno.stdout);
  #state: "waiting" | "shown" | "closed" = "waiting";

  act(): void {}

  record(): void {}

  frame(model: ViewModel): void {
    if (this.#state === "closed") return;
    if (this.#state === "waiting") print(enterScreen);
    this.#state = "shown";
    print(renderFrame(model, { ...Deno.consoleSize(), colour: this.#colour }));
  }

  close(): void {
    if (this.#state === "shown") print(leaveScreen);
    this.#state = "closed";
  }

  summary(model: ViewModel): void {
    print(renderSummary(model, { columns: Deno.consoleSize().columns, colour: this.#colour }));
  }
}
