/**
 * The virtio-mmio transport, version 2 (virtio 1.2, section 4.2): what all virtio devices share.
 *
 * Registers come from the guest; kicks go to the concrete device, which answers through its queues
 * and `signal`. A device is the transport extended by what is its own: `kicked`, its state, and the
 * inputs of its kind.
 *
 * A driver that breaks the rules of a queue meets DEVICE_NEEDS_RESET, announced by a configuration
 * interrupt; until it resets the device, kicks and inputs do nothing to it. The configuration space
 * never changes, so its generation is always 0.
 */
import type { ByteReader, ByteWriter } from '../../base/bytes.ts';
import type { AccessSize, Device, DeviceContext } from '../../machine/device.ts';
import { withHalf } from '../halves.ts';
import { Queue } from './queue.ts';

export const VIRTIO_F_INDIRECT_DESC = 28;
export const VIRTIO_F_EVENT_IDX = 29;
export const VIRTIO_F_VERSION_1 = 32;

const STATUS_DRIVER_OK = 0x04;
const STATUS_FEATURES_OK = 0x08;
const STATUS_NEEDS_RESET = 0x40;

const INTERRUPT_USED_BUFFER = 1;
const INTERRUPT_CONFIGURATION = 2;

const MAGIC = 0x74726976; // "virt"
const VERSION = 2;
/** QEMU's, as everything else about this board. */
const VENDOR = 0x554d4551;

/** Register offsets, in the spelling of section 4.2.2. */
const MagicValue = 0x000;
const Version = 0x004;
const DeviceID = 0x008;
const VendorID = 0x00c;
const DeviceFeatures = 0x010;
const DeviceFeaturesSel = 0x014;
const DriverFeatures = 0x020;
const DriverFeaturesSel = 0x024;
const QueueSel = 0x030;
const QueueNumMax = 0x034;
const QueueNum = 0x038;
const QueueReady = 0x044;
const QueueNotify = 0x050;
const InterruptStatus = 0x060;
const InterruptACK = 0x064;
const Status = 0x070;
const QueueDescLow = 0x080;
const QueueDescHigh = 0x084;
const QueueDriverLow = 0x090;
const QueueDriverHigh = 0x094;
const QueueDeviceLow = 0x0a0;
const QueueDeviceHigh = 0x0a4;
const SHMLenLow = 0x0b0;
const SHMBaseHigh = 0x0bc;
const Config = 0x100;

/** What a kind of device is, to the transport. */
export interface VirtioModel {
  readonly deviceId: number;
  /** Bit numbers of the features offered, besides those of the transport. */
  readonly features: readonly number[];
  readonly queueSizes: readonly number[];
  readonly configuration: Uint8Array;
}

type Features = readonly [low: number, high: number];

export abstract class VirtioMmio implements Device {
  protected readonly context: DeviceContext;
  protected readonly queues: readonly Queue[];
  readonly #model: VirtioModel;
  readonly #offered: Features;
  #accepted: Features = [0, 0];
  #deviceFeaturesSel = 0;
  #driverFeaturesSel = 0;
  #queueSel = 0;
  #status = 0;
  #interruptStatus = 0;

  constructor(model: VirtioModel, context: DeviceContext) {
    this.context = context;
    this.#model = model;
    this.#offered = featureWords([
      ...model.features,
      VIRTIO_F_INDIRECT_DESC,
      VIRTIO_F_EVENT_IDX,
      VIRTIO_F_VERSION_1,
    ]);
    const negotiated = (feature: number): boolean => this.negotiated(feature);
    const owner = {
      memory: context.memory,
      get eventIndex(): boolean {
        return negotiated(VIRTIO_F_EVENT_IDX);
      },
      get indirect(): boolean {
        return negotiated(VIRTIO_F_INDIRECT_DESC);
      },
      fail: (): void => this.fail(),
    };
    this.queues = model.queueSizes.map((size) => new Queue(size, owner));
  }

  /** The driver says that there are new chains in a queue, which is ready. */
  protected abstract kicked(queue: number): void;
  /** The driver or the machine resets the device: forget every chain. */
  protected abstract resetDevice(): void;
  protected abstract saveDevice(writer: ByteWriter): void;
  protected abstract restoreDevice(reader: ByteReader): void;

  /** The driver has finished its set-up and nobody has broken the rules since. */
  protected get live(): boolean {
    return (this.#status & (STATUS_DRIVER_OK | STATUS_NEEDS_RESET)) === STATUS_DRIVER_OK;
  }

  protected negotiated(feature: number): boolean {
    return ((this.#accepted[feature < 32 ? 0 : 1] >>> (feature & 31)) & 1) === 1;
  }

  /** After chains were pushed: interrupts the driver if it wants that. */
  protected signal(queue: Queue): void {
    if (queue.takeSignal()) this.#interrupt(INTERRUPT_USED_BUFFER);
  }

  protected fail(): void {
    if (this.#status & STATUS_NEEDS_RESET) return;
    this.#status |= STATUS_NEEDS_RESET;
    if (this.#status & STATUS_DRIVER_OK) this.#interrupt(INTERRUPT_CONFIGURATION);
  }

  read(offset: number, size: AccessSize): number {
    if (offset >= Config) return readBytes(this.#model.configuration, offset - Config, size);
    if (size !== 4) return 0;
    const queue = this.queues[this.#queueSel];
    switch (offset) {
      case DeviceID:
        return this.#model.deviceId;
      case DeviceFeatures:
        return this.#offered[this.#deviceFeaturesSel] ?? 0;
      case QueueNumMax:
        return queue?.sizeMax ?? 0;
      case QueueReady:
        return queue?.ready ? 1 : 0;
      case InterruptStatus:
        return this.#interruptStatus;
      case Status:
        return this.#status;
      default:
        // There is no shared memory: length and base of every region read as all ones.
        if (offset >= SHMLenLow && offset <= SHMBaseHigh) return 0xffff_ffff;
        return identity.get(offset) ?? 0;
    }
  }

  write(offset: number, size: AccessSize, value: number): void {
    if (size !== 4) return;
    switch (offset) {
      case DeviceFeaturesSel:
        this.#deviceFeaturesSel = value;
        break;
      case DriverFeaturesSel:
        this.#driverFeaturesSel = value;
        break;
      case DriverFeatures:
        this.#accept(value);
        break;
      case QueueSel:
        this.#queueSel = value;
        break;
      case QueueNotify:
        if (this.live && this.queues[value]?.ready) this.kicked(value);
        break;
      case InterruptACK:
        this.#interruptStatus &= ~value;
        this.#driveLine();
        break;
      case Status:
        if ((value & 0xff) === 0) this.#startOver();
        else this.#advance(value & 0xff);
        break;
      default:
        this.#setUpQueue(offset, value);
    }
  }

  reset(): void {
    this.#startOver();
  }

  save(writer: ByteWriter): void {
    writer.u32(this.#accepted[0]).u32(this.#accepted[1]);
    writer.u32(this.#deviceFeaturesSel).u32(this.#driverFeaturesSel).u32(this.#queueSel);
    writer.u8(this.#status).u8(this.#interruptStatus);
    for (const queue of this.queues) queue.save(writer);
    this.saveDevice(writer);
  }

  restore(reader: ByteReader): void {
    this.#accepted = [reader.u32(), reader.u32()];
    this.#deviceFeaturesSel = reader.u32();
    this.#driverFeaturesSel = reader.u32();
    this.#queueSel = reader.u32();
    this.#status = reader.u8();
    this.#interruptStatus = reader.u8();
    for (const queue of this.queues) queue.restore(reader);
    this.restoreDevice(reader);
  }

  /** A reset by the driver, and the greater part of one by the machine. */
  #startOver(): void {
    this.#accepted = [0, 0];
    this.#deviceFeaturesSel = 0;
    this.#driverFeaturesSel = 0;
    this.#queueSel = 0;
    this.#status = 0;
    this.#interruptStatus = 0;
    for (const queue of this.queues) queue.reset();
    this.resetDevice();
    this.#driveLine();
  }

  #accept(bits: number): void {
    if (this.#status & STATUS_FEATURES_OK) return;
    const [low, high] = this.#accepted;
    if (this.#driverFeaturesSel === 0) this.#accepted = [bits, high];
    if (this.#driverFeaturesSel === 1) this.#accepted = [low, bits];
  }

  /** Status only grows until a reset. FEATURES_OK stays clear if the choice cannot be served. */
  #advance(status: number): void {
    status &= ~STATUS_NEEDS_RESET;
    const extra = this.#accepted.some((word, index) => (word & ~this.#offered[index]!) !== 0);
    if (extra || !this.negotiated(VIRTIO_F_VERSION_1)) status &= ~STATUS_FEATURES_OK;
    this.#status |= status;
  }

  /** The registers of the selected queue, which can be written only while it is not in use. */
  #setUpQueue(offset: number, value: number): void {
    const queue = this.queues[this.#queueSel];
    if (queue === undefined) return;
    if (offset === QueueReady) {
      if ((value & 1) === 0) queue.stop();
      else if (!queue.ready) queue.start();
      return;
    }
    if (queue.ready) return;
    switch (offset) {
      case QueueNum:
        if (value <= queue.sizeMax) queue.size = value;
        break;
      case QueueDescLow:
      case QueueDescHigh:
        queue.descriptorArea = withHalf(queue.descriptorArea, offset === QueueDescHigh, value);
        break;
      case QueueDriverLow:
      case QueueDriverHigh:
        queue.driverArea = withHalf(queue.driverArea, offset === QueueDriverHigh, value);
        break;
      case QueueDeviceLow:
      case QueueDeviceHigh:
        queue.deviceArea = withHalf(queue.deviceArea, offset === QueueDeviceHigh, value);
        break;
      default:
    }
  }

  #interrupt(cause: number): void {
    this.#interruptStatus |= cause;
    this.#driveLine();
  }

  #driveLine(): void {
    this.context.setInterrupt(this.#interruptStatus !== 0);
  }
}

/** What every slot says of itself. */
const identity: ReadonlyMap<number, number> = new Map([
  [MagicValue, MAGIC],
  [Version, VERSION],
  [VendorID, VENDOR],
]);

/** A slot without a device: device 0, which drivers pass over. */
export class EmptySlot implements Device {
  read(offset: number, size: AccessSize): number {
    if (size !== 4) return 0;
    return identity.get(offset) ?? 0;
  }

  write(_offset: number, _size: AccessSize, _value: number): void {}
  reset(): void {}
  save(_writer: ByteWriter): void {}
  restore(_reader: ByteReader): void {}
}

function featureWords(bits: readonly number[]): Features {
  let low = 0;
  let high = 0;
  for (const bit of bits) {
    if (bit < 32) low = (low | (1 << bit)) >>> 0;
    else high = (high | (1 << (bit - 32))) >>> 0;
  }
  return [low, high];
}

/** Little-endian; what lies beyond the end reads as all ones. */
function readBytes(bytes: Uint8Array, at: number, size: AccessSize): number {
  let value = 0;
  for (let index = 0; index < size; index++) {
    value += (at + size <= bytes.length ? bytes[at + index]! : 0xff) * 2 ** (8 * index);
  }
  return value;
}
