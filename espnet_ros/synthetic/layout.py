"""Places objects along the street."""

from __future__ import annotations

import math
from typing import List, Tuple

import numpy as np

from espnet_ros.synthetic.classes import BICYCLIST, BUILDING, CAR, FENCE, PEDESTRIAN, POLE, SIGN, TREE
from espnet_ros.synthetic.course import Course
from espnet_ros.synthetic.ground import CrossSection
from espnet_ros.synthetic.palette import Palette
from espnet_ros.synthetic.site import Site, Slot, box_part
from espnet_ros.synthetic.solids import Part, Shape, StandingObject

LOWEST_OVERHANG = 2.7
"""Lowest edge of crowns and signs in metres, so that they do not hide the ground from a camera at 2.5 m."""


class Layout:
    """Fills a street with objects.

    Args:
        random: source of all choices.
        course: the centre line.
        section: cross-section of the street.
        palette: textures of the objects.
        length: metres of the drive.
    """

    def __init__(
        self, random: np.random.Generator, course: Course, section: CrossSection, palette: Palette, length: float
    ) -> None:
        self._random = random
        self._course = course
        self._section = section
        self._palette = palette
        self._length = length
        self._site = Site(course, section, length)

    def fill(self) -> List[StandingObject]:
        """Place all objects and return them."""
        for side in (1, -1):
            self._place_buildings(side)
        self._place_end_building()
        self._place_cars()
        for side in (1, -1):
            self._place_street_furniture(side)
        self._place_cyclists()
        self._place_pedestrians()
        return self._site.objects

    def _edges(self, side: int) -> Tuple[float, float]:
        """Return (kerb, front) in metres from the centre line to that side, positive."""
        section = self._section
        return (section.left, section.left_front) if side > 0 else (-section.right, -section.right_front)

    def _place_buildings(self, side: int) -> None:
        random, (_, front) = self._random, self._edges(side)
        s = self._course.first_s + 2.0
        greenness = random.uniform(0.15, 0.6)
        while s < self._course.last_s - 2.0:
            if random.random() < greenness:
                run = random.uniform(6.0, 16.0)
                self._place_garden(side, s, run, front)
            else:
                run = random.uniform(6.0, 13.0)
                self._place_house(side, s, run, front + random.choice([0.0, 0.0, random.uniform(0.0, 1.5)]))
            s += run + random.choice([0.0, 0.0, random.uniform(0.5, 3.0)])

    def _place_house(self, side: int, s: float, run: float, front: float, scale: float = 1.0) -> None:
        random = self._random
        depth = random.uniform(5.0, 8.0)
        height = random.uniform(5.5, 14.0) * scale
        facade = self._palette.pick_facade(random)
        slot = Slot(s + run / 2, side * (front + depth / 2 + 0.15), 0.0, run / 2, depth / 2)
        floor = random.uniform(2.7, 3.4)
        low = random.uniform(2.9, 3.9)
        ridge = random.uniform(1.5, 3.5) if random.random() < 0.55 else 0.0
        x, y, yaw = self._site.pose(slot)
        tiles = (facade.floor,) * 3
        parts = [
            box_part(x, y, yaw, slot, 0.0, height, tiles, facade.roof, low=facade.ground, low_height=low, floor=floor)
        ]
        if ridge:
            roof = Slot(slot.s, slot.d, 0.0, slot.half_x, slot.half_y)
            taper = (slot.half_y - 0.05) / ridge
            parts.append(
                box_part(x, y, yaw, roof, height, height + ridge, (facade.roof,) * 3, facade.roof, taper_y=taper)
            )
        self._site.add(BUILDING, slot, height + ridge, parts, reserve=False)

    def _place_garden(self, side: int, s: float, run: float, front: float) -> None:
        random, palette = self._random, self._palette
        half = 0.06 if random.random() < 0.55 else random.uniform(0.3, 0.6)
        is_hedge = half > 0.1
        height = random.uniform(0.9, 2.0)
        tile, span = (palette.pick_hedge(random), 2.2) if is_hedge else palette.pick_fence(random)
        pieces = max(round(run / 4.0), 1)
        for piece in range(pieces):
            slot = Slot(s + run * (piece + 0.5) / pieces, side * (front + half + 0.25), 0.0, 0.54 * run / pieces, half)
            x, y, yaw = self._site.pose(slot)
            part = box_part(x, y, yaw, slot, 0.0, height, (tile,) * 3, tile, width=span, floor=height)
            self._site.add(TREE if is_hedge else FENCE, slot, height, [part], reserve=False)
        for _ in range(int(random.integers(1, 4))):
            self._place_tree(s + run * random.uniform(0.25, 0.75), side * (front + random.uniform(1.6, 5.0)), 3.2)
        self._place_house(side, s - 2.0, run + 6.0, front + random.uniform(7.0, 16.0), 1.2)

    def _place_end_building(self) -> None:
        width = self._section.left_front + 12.0
        slot = Slot(self._course.last_s + 6.0, 0.0, math.pi / 2, width, 5.0)
        facade = self._palette.pick_facade(self._random)
        x, y, yaw = self._site.pose(slot)
        part = box_part(
            x, y, yaw, slot, 0.0, 12.0, (facade.floor,) * 3, facade.roof, low=facade.ground, low_height=3.5, floor=3.0
        )
        self._site.add(BUILDING, slot, 12.0, [part], reserve=False)

    def _place_tree(self, s: float, d: float, widest: float) -> None:
        random = self._random
        radius = random.uniform(0.1, 0.24)
        trunk_top, crown = random.uniform(3.0, 4.2), random.uniform(0.45, 1.0) * widest
        slot = Slot(s, d, 0.0, radius, radius)
        x, y, yaw = self._site.pose(slot)
        bark = self._palette.pick_trunk(random)
        parts = [Part(Shape.CYLINDER, x, y, yaw, radius, radius, 0.0, trunk_top + crown * 0.5, front=bark)]
        leaves = self._palette.pick_crown(random)
        tall = crown * random.uniform(0.8, 1.3)
        for number in range(2):
            spread = 0.35 * crown * number
            east, north = random.normal(0.0, 1.0, 2) * spread * 0.7
            size = crown * (1.0 - 0.2 * number)
            bottom = max(trunk_top - 0.3 + spread * random.uniform(0.0, 0.7), LOWEST_OVERHANG)
            top = bottom + 2 * tall * (1.0 - 0.2 * number)
            parts.append(Part(Shape.BILLBOARD, x + east, y + north, yaw, size, 0.0, bottom, top, front=leaves))
        self._site.add(TREE, slot, max(part.top for part in parts), parts, is_round=True)

    def _place_cars(self) -> None:
        random, section = self._random, self._section
        other = -1 if section.own_lane > 0 else 1
        for side in (1, -1):
            kerb, _ = self._edges(side)
            if kerb > section.lane + 1.0:
                s, density = -20.0 + random.uniform(0.0, 6.0), random.uniform(0.35, 0.9)
                while s < self._course.last_s - 10.0:
                    if random.random() < density:
                        self._place_car(s, side * (kerb - random.uniform(1.0, 1.12)), random.normal(0.0, 0.02), side)
                    s += random.uniform(5.2, 7.0)
        s = random.uniform(10.0, 25.0)
        while s < self._course.last_s - 10.0:
            self._place_car(s, other * section.lane / 2 + random.normal(0.0, 0.12), random.normal(0.0, 0.03), other)
            s += random.uniform(7.0, 60.0)
        self._place_car(self._length + random.uniform(14.0, 30.0), section.own_lane, 0.0, -other)

    def _place_car(self, s: float, d: float, skew: float, side: int) -> None:
        random = self._random
        towards_us = (side > 0) != self._section.keeps_left
        turn = skew + (math.pi if towards_us else 0.0)
        is_van = random.random() < 0.14
        length, width = (4.9, 1.9) if is_van else (random.uniform(3.6, 4.7), random.uniform(1.6, 1.8))
        waist, height = (
            (1.15, random.uniform(1.9, 2.4)) if is_van else (random.uniform(0.78, 0.9), random.uniform(1.35, 1.6))
        )
        slot = Slot(s, d, turn, length / 2, width / 2)
        x, y, yaw = self._site.pose(slot)
        look = self._palette.pick_car(random)
        body = box_part(x, y, yaw, slot, 0.0, waist, (look.front, look.back, look.side), look.roof)
        back, nose = (0.05, 0.85) if is_van else (random.uniform(0.0, 0.5), random.uniform(0.7, 1.2))
        half = (length - back - nose) / 2
        shift = (back - nose) / 2
        cabin = Slot(s, d, turn, half, width / 2 - 0.04)
        tall = height - waist
        taper = (0.12 if is_van else min(0.55, 0.55 * half)) / tall
        east, north = x + shift * math.cos(yaw), y + shift * math.sin(yaw)
        tiles = (look.glass, look.roof if is_van else look.glass, look.cabin_side)
        top = box_part(
            east, north, yaw, cabin, waist, height, tiles, look.roof, taper_x=taper, taper_y=0.18 / max(tall, 0.3)
        )
        self._site.add(CAR, slot, height, [body, top])

    def _place_street_furniture(self, side: int) -> None:
        """Place lamp posts, signs and trees along the kerb."""
        random, (kerb, front) = self._random, self._edges(side)
        s, has_trees = random.uniform(-18.0, -6.0), random.random() < 0.6
        while s < self._course.last_s - 8.0:
            d = side * (kerb + random.uniform(0.35, 0.6))
            kind = random.random()
            if has_trees and kind < 0.4 and front - kerb > 2.6:
                self._place_tree(s, side * (kerb + 0.7), front - kerb - 0.6)
            elif kind < 0.7:
                self._place_post(s, d, random.uniform(4.5, 8.0), random.uniform(0.05, 0.1))
            else:
                self._place_sign(s, d)
            s += random.uniform(4.5, 13.0)

    def _place_post(self, s: float, d: float, height: float, radius: float) -> bool:
        slot = Slot(s, d, 0.0, radius, radius)
        x, y, yaw = self._site.pose(slot)
        metal = self._palette.pick_post(self._random)
        part = Part(Shape.CYLINDER, x, y, yaw, radius, radius, 0.0, height, front=metal)
        return self._site.add(POLE, slot, height, [part], is_round=True)

    def _place_sign(self, s: float, d: float) -> None:
        random = self._random
        height, half = random.uniform(3.3, 4.0), random.uniform(0.25, 0.45)
        if not self._place_post(s, d, height, 0.045):
            return
        x, y = self._course.point(s, d)
        faces_us = (d > 0) == self._section.keeps_left or random.random() < 0.4
        yaw = self._course.station(s).heading + (math.pi / 2 if faces_us else -math.pi / 2) + random.normal(0.0, 0.15)
        x, y = x - 0.05 * math.sin(yaw), y + 0.05 * math.cos(yaw)
        look = self._palette.pick_sign(random)
        back = self._palette.pick_post(random)
        board = Part(Shape.PANEL, x, y, yaw, half, 0.0, height - 2 * half, height, front=look, back=back)
        slot = Slot(s, d, 0.0, 0.0, 0.0)
        self._site.add(SIGN, slot, height, [board], reserve=False)

    def _place_cyclists(self) -> None:
        random, section = self._random, self._section
        s = random.uniform(6.0, 20.0)
        while s < self._course.last_s - 10.0:
            side = 1 if random.random() < 0.5 else -1
            d = side * (section.lane - random.uniform(0.25, 0.55))
            if random.random() < 0.7:
                self._place_figure(BICYCLIST, s, d, random.uniform(1.65, 1.85), 0.7, self._palette.pick_cyclist(random))
            else:
                kerb, _ = self._edges(side)
                self._place_crossing_cyclist(s, side * (kerb + random.uniform(0.9, 1.3)))
            s += random.uniform(7.0, 28.0)

    def _place_crossing_cyclist(self, s: float, d: float) -> None:
        random = self._random
        slot = Slot(s, d, random.uniform(0.0, math.tau), 0.85, 0.06)
        x, y, yaw = self._site.pose(slot)
        look = self._palette.pick_bicycle(random)
        height = random.uniform(1.6, 1.8)
        part = Part(Shape.PANEL, x, y, yaw, 0.85, 0.0, 0.0, height, front=look, back=look)
        self._site.add(BICYCLIST, slot, height, [part])

    def _place_pedestrians(self) -> None:
        random, section = self._random, self._section
        crowd = random.uniform(2.0, 7.0)
        s = -10.0
        while s < self._course.last_s - 8.0:
            side = 1 if random.random() < 0.5 else -1
            kerb, front = self._edges(side)
            d = side * random.uniform(kerb + 0.9, front - 0.4)
            if random.random() < 0.12:
                d = random.uniform(section.right + 0.4, section.left - 0.4)
            height = random.uniform(1.5, 1.95) * (0.7 if random.random() < 0.1 else 1.0)
            for _ in range(int(random.choice([1, 1, 1, 2, 3]))):
                place = s + random.uniform(-0.3, 0.3), d + random.uniform(-0.7, 0.7)
                self._place_figure(PEDESTRIAN, *place, height, 0.42, self._palette.pick_person(random))
            s += random.exponential(crowd) + 0.5

    def _place_figure(self, class_id: int, s: float, d: float, height: float, width: float, look: int) -> None:
        half = width * height / 2
        radius = half * (
            0.38 if class_id == BICYCLIST else 0.75
        )  # half width of the part of the tile that touches the ground
        slot = Slot(s, d, 0.0, radius, radius)
        x, y, yaw = self._site.pose(slot)
        part = Part(Shape.BILLBOARD, x, y, yaw, half, 0.0, 0.0, height, front=look)
        self._site.add(class_id, slot, height, [part], is_round=True)
